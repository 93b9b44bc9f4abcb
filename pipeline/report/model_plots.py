"""The plots of the models themselves: calibration and training curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from commerce.calibration import share_interval
from pipeline.report.figure import Figure, Table, make_figure
from pipeline.report.intents import LIKELIEST, Calibration
from pipeline.report.look import FAINT
from pipeline.report.training import SMOOTHED, running_mean

_COLOR, _PALE = "#1746c7", "#b4c4ec"
_SIZE = 340


def calibration_figures(found: Sequence[Calibration], confidence: float) -> Iterator[Figure]:
    """Draw a reliability diagram each: the share in which it happened over the probability given."""
    for calibration in found:
        title = "Likeliest intent" if calibration.name == LIKELIEST else f"Intent: {calibration.name}"
        name = f"calibration-{calibration.name.replace(' ', '-')}"
        yield reliability_figure(name, title, calibration, confidence, "requests")


def reliability_figure(name: str, title: str, calibration: Calibration, confidence: float, counted: str) -> Figure:
    """Draw one reliability diagram; ``counted`` names what its bins hold."""
    diagram = calibration.diagram
    low, high = share_interval(diagram.happened, diagram.counts, confidence)
    dots = go.Scatter(
        x=diagram.given.tolist(),
        y=diagram.happened.tolist(),
        mode="lines+markers",
        error_y={
            "type": "data",
            "symmetric": False,
            "array": (high - diagram.happened).tolist(),
            "arrayminus": (diagram.happened - low).tolist(),
            "thickness": 1.6,
            "width": 0,
            "color": _COLOR,
        },
        marker={"size": 9, "color": _COLOR, "line": {"color": "#fff", "width": 1}},
        line={"color": _COLOR, "width": 2},
        text=[f"{count:,} {counted}" for count in diagram.counts],
        hovertemplate="said %{x:.1%}, happened %{y:.1%}<br>%{text}<extra></extra>",
    )
    perfect = go.Scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": FAINT, "dash": "dash", "width": 1.5}, hoverinfo="skip"
    )
    axis = {"range": [0, 1], "tickformat": ".0%", "dtick": 0.25}
    rows = [
        [f"{given:.1%}", f"{share:.1%} ({bottom:.1%} to {top:.1%})", f"{count:,}"]
        for given, share, bottom, top, count in zip(
            diagram.given, diagram.happened, low, high, diagram.counts, strict=True
        )
    ]
    return make_figure(
        name,
        f"{title}: calibration error {calibration.error:.3f} (chance alone: {calibration.by_chance:.3f})",
        f"Reliability of the probability of the {calibration.name}: share in which it happened over what was said.",
        [perfect, dots],
        Table(["probability given", "share in which it happened", counted], rows),
        height=_SIZE,
        layout={
            "xaxis": {**axis, "title": {"text": "probability given"}},
            "yaxis": {**axis, "title": {"text": "share that happened"}},
        },
    )


def tower_figures(columns: dict[str, list[float | None]]) -> Iterator[Figure]:
    """Draw the towers' loss and validation NDCG over the epochs."""
    shown = {
        "train_loss": ("towers-loss", "Towers: training loss", "loss (nats)"),
        "val_ndcg@10": ("towers-ndcg", "Towers: NDCG@10 on validation", "NDCG@10"),
    }
    epochs = columns.get("epoch", [])
    for column, (name, title, axis) in shown.items():
        counted, ys = _points(epochs, columns.get(column, []))
        if not ys:
            continue
        xs = [epoch + 1 for epoch in counted]
        table = Table(["epoch", axis], [[f"{x:g}", f"{y:.4f}"] for x, y in zip(xs, ys, strict=True)])
        traces = [_curve(xs, ys, "lines+markers", _COLOR, 2.5, "epoch %{x}: %{y:.4f}")]
        alt = f"{title} over {len(ys)} epochs, from {ys[0]:.4f} to {ys[-1]:.4f}."
        bottom = {"rangemode": "tozero"} if column != "train_loss" else {}
        yield make_figure(
            name,
            title,
            alt,
            traces,
            table,
            height=_SIZE,
            layout={
                "xaxis": {"title": {"text": "epoch"}, "dtick": max(1, round(len(ys) / 8))},
                "yaxis": {"title": {"text": axis}, **bottom},
            },
        )


def ranker_figures(columns: dict[str, list[float | None]]) -> Iterator[Figure]:
    """Draw the ranker's loss over the steps, as it was and smoothed; nothing where nothing was trained."""
    xs, ys = _points(columns.get("step", []), columns.get("train/loss", []))
    if not ys:
        return
    smooth = np.round(running_mean(np.array(ys), SMOOTHED), 5).tolist()
    every = max(1, len(ys) // 12)
    kept = sorted({*range(0, len(ys), every), len(ys) - 1})
    table = Table(
        ["step", "loss (nats)", f"mean of {SMOOTHED} steps"],
        [[f"{xs[i]:g}", f"{ys[i]:.4f}", f"{smooth[i]:.4f}"] for i in kept],
    )
    yield make_figure(
        "ranker-loss",
        "Reranker: training loss",
        f"Training loss of the reranker over {len(ys)} steps; its running mean ends at {smooth[-1]:.4f}.",
        [
            _curve(xs, ys, "lines", _PALE, 1.2, "step %{x}: %{y:.4f}"),
            _curve(xs, smooth, "lines", _COLOR, 2.5, f"mean of {SMOOTHED} steps to %{{x}}: %{{y:.4f}}"),
        ],
        table,
        height=_SIZE,
        layout={"xaxis": {"title": {"text": "step"}}, "yaxis": {"title": {"text": "loss (nats)"}}},
    )


def _points(xs: Sequence[float | None], ys: Sequence[float | None]) -> tuple[list[float], list[float]]:
    """Return the points of which both coordinates are known."""
    known = [(x, y) for x, y in zip(xs, ys, strict=False) if x is not None and y is not None]
    return [x for x, _ in known], [y for _, y in known]


def _curve(xs: list[Any], ys: list[Any], mode: str, color: str, width: float, hover: str) -> Any:
    return go.Scatter(
        x=xs,
        y=ys,
        mode=mode,
        line={"color": color, "width": width},
        marker={"size": 8, "color": color},
        hovertemplate=f"{hover}<extra></extra>",
    )
