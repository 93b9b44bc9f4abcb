"""Which index answers, and against what it was chosen: the front of recall and speed, and what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from pipeline.report.figure import Figure, Table, make_figure
from pipeline.report.look import FAINT
from pipeline.run_folder import RunFolder
from retrieval.index_folder import read_facts

# One for each family of retrieval.families; colours and marks as those of systems, dark enough on white.
_LOOKS = {
    "flat": ("exact", "#7b818b", "x"),
    "ivf-flat": ("IVF, whole vectors", "#a0742f", "square"),
    "ivf-sq8": ("IVF, a byte a number", "#5b8561", "triangle-up"),
    "ivf-pq": ("IVF, product quantization", "#93689f", "triangle-down"),
    "hnsw": ("HNSW graph", "#4f8fd6", "diamond"),
}
_CHOSEN = "#1746c7"


@dataclass(frozen=True)
class IndexChoice:
    """What the page says of the index."""

    exact: bool
    why: str
    terms: dict[str, str]
    """What was promised and measured, in words."""
    figure: Figure | None
    """The front; None where nothing was compared."""


def read_index_choice(run: RunFolder) -> IndexChoice | None:
    """Return what ``index.json`` tells of the choice; None for an index that was never asked for a promise."""
    facts, whole = read_facts(run.stage("index"))
    told: dict[str, Any] | None = facts.get("promise")
    if told is None:
        return None
    front = told.get("front", [])
    return IndexChoice(
        exact=bool(facts["exact"]),
        why=told["why"],
        terms=_terms(facts, told) | _whole_terms(whole),
        figure=_front(told, front) if front else None,
    )


def _whole_terms(whole: dict[str, Any] | None) -> dict[str, str]:
    """Return what is true of all shards together, in the place of what is true of the first; nothing where none are."""
    if whole is None:
        return {}
    terms = {
        "Shards": f"{whole['shards']:,} of {whole['items']:,} items in all; but for recall, this is the first",
        "Promise": f"recall@{whole['promise']['at_k']} of {whole['promise']['target_recall']:g}",
    }
    return terms | _recalls(whole)


def _recalls(told: dict[str, Any]) -> dict[str, str]:
    return {
        title: f"{told[name]['mean']:.4f}, surely {told[name]['low']:.4f}, on {told[name]['queries']:,} requests"
        for name, title in (("validation", "Recall, validation window"), ("fresh", "Recall, test window"))
        if told.get(name)
    }


def _terms(facts: dict[str, Any], told: dict[str, Any]) -> dict[str, str]:
    terms = {
        "Items": f"{facts['items']:,}, {facts['dim']} wide",
        "Promise": f"recall@{told['at_k']} of {told['target_recall']:g}, tuned for {told['tune_for']}",
        "Answers by": told["structure"],
    }
    terms |= _recalls(told)
    if "latency_ms" in told:
        terms["One request"] = f"{told['latency_ms']:.3f} ms; exact search {told['exact']['latency_ms']:.3f} ms"
        terms["Batches"] = (
            f"{told['queries_per_second']:,} requests a second on {told['threads']} threads; exact search "
            f"{told['exact']['queries_per_second']:,}"
        )
        terms["Memory"] = f"{told['bytes'] / 1e6:,.1f} MB; exact search {told['exact']['bytes'] / 1e6:,.1f} MB"
    elif "exact" in told:
        terms["One request"] = f"{told['exact']['latency_ms']:.3f} ms"
        terms["Memory"] = f"{told['exact']['bytes'] / 1e6:,.1f} MB"
    terms["FAISS"] = facts["faiss"]
    return terms


def _front(told: dict[str, Any], front: list[dict[str, Any]]) -> Figure:
    traces: list[Any] = []
    for family, (title, color, mark) in _LOOKS.items():
        points = [point for point in front if point["family"] == family]
        if points:
            traces.append(_points(points, title, color, mark, size=9))
    chosen = [point for point in front if _is_choice(point, told)]
    if chosen:
        traces.append(_points(chosen, "chosen", _CHOSEN, "circle-open", size=18))
    least = min(min(point["recall"] for point in front), told["target_recall"])
    promise = {
        "type": "line",
        "x0": told["target_recall"],
        "x1": told["target_recall"],
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "line": {"color": FAINT, "dash": "dash", "width": 1.5},
    }
    fastest = max(point["queries_per_second"] for point in front)
    return make_figure(
        "index-front",
        f"Recall@{told['at_k']} and speed of the indexes that no other beats",
        f"{len(front)} indexes by recall and requests a second, up to {fastest:,.0f}; the promise is a dashed line at "
        f"{told['target_recall']:g}.",
        traces,
        Table(
            ["index", "looks at", "fetched for one", "recall", "surely", "requests/s", "MB", "built in, s", ""],
            [
                [
                    point["structure"],
                    f"{point['reach']:,}" if point["reach"] else "everything",
                    f"{point['factor']:g}",
                    f"{point['recall']:.4f}",
                    f"{point['low']:.4f}",
                    f"{point['queries_per_second']:,.0f}",
                    f"{point['bytes'] / 1e6:,.1f}",
                    f"{point['build_seconds']:.1f}",
                    "chosen" if _is_choice(point, told) else "",
                ]
                for point in front
            ],
        ),
        height=380,
        layout={
            "xaxis": {"title": {"text": f"recall@{told['at_k']}"}, "range": [least - 0.02, 1.005]},
            "yaxis": {"title": {"text": "requests a second"}, "type": "log"},
            "shapes": [promise],
            "showlegend": True,
            "legend": {"orientation": "h", "y": -0.2},
        },
    )


def _is_choice(point: dict[str, Any], told: dict[str, Any]) -> bool:
    if told["family"] == "flat":
        return bool(point["family"] == "flat")
    return all(point[name] == told[name] for name in ("structure", "reach", "factor"))


def _points(points: list[dict[str, Any]], name: str, color: str, mark: str, *, size: int) -> Any:
    return go.Scatter(
        x=[point["recall"] for point in points],
        y=[point["queries_per_second"] for point in points],
        mode="markers",
        name=name,
        marker={"size": size, "color": color, "symbol": mark, "line": {"width": 2 if "open" in mark else 0}},
        text=[
            f"{point['structure']}, looks at {point['reach'] or 'everything'}, {point['bytes'] / 1e6:,.1f} MB"
            for point in points
        ],
        hovertemplate="%{text}<br>recall %{x:.4f}, %{y:,.0f} a second<extra></extra>",
    )
