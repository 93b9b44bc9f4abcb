"""The plots of one measurement: differences, measures at k, segments, popularity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from pipeline.report.figure import Figure, Table, make_figure
from pipeline.report.headline import Difference, Estimate
from pipeline.report.look import FAINT, SHARES, SIGNS, Style, styles
from pipeline.report.popularity import CLASSES, Shares
from pipeline.tables import shown_p

_AT_K = {"recall": "Recall", "ndcg": "NDCG"}
_GROUPS = {
    "user": "New and returning users",
    "query": "With and without a search",
    "history": "By length of history (visible events)",
    "intent": "By intent of the session",
    "item": "By popularity of the items asked for",
}


def show(estimate: Estimate | Mapping[str, float], signed: bool = False) -> str:
    """Write a number with its interval."""
    found = estimate if isinstance(estimate, Estimate) else Estimate.of(estimate)
    form = "+.4f" if signed else ".4f" if abs(found.value) < 1 else ".2f"
    return f"{found.value:{form}} ({found.low:{form}} to {found.high:{form}})"


def difference_figure(prefix: str, found: Sequence[Difference], measure: str, k: int) -> Figure:
    """Draw the paired differences with their intervals beside a line at zero."""
    look = styles([difference.ours for difference in found])
    places = list(range(len(found)))[::-1]
    traces = []
    for place, difference in zip(places, found, strict=True):
        estimate, style = difference.measures[measure], look[difference.ours]
        traces.append(interval_trace([estimate], [place], style, difference.ours, "x"))
    table = Table(
        ["pair", f"{_AT_K[measure]}@{k}, difference", "p", "verdict"],
        [
            [
                f"{d.ours} - {d.other}",
                show(d.measures[measure], signed=True),
                shown_p(d.p_values[measure]),
                f"{SIGNS[d.words[measure]]} {d.words[measure]}",
            ]
            for d in found
        ],
    )
    labels = [f"{d.ours} −<br>{d.other}" for d in found]
    return make_figure(
        f"{prefix}-differences",
        f"Differences in {_AT_K[measure]}@{k}",
        f"Paired differences in {_AT_K[measure]} at {k} with intervals; the table below it holds the numbers.",
        traces,
        table,
        height=70 + 40 * len(found),
        layout={
            "xaxis": {"title": {"text": f"difference in {_AT_K[measure]}@{k}"}},
            "yaxis": {"tickvals": places, "ticktext": labels, "range": [-0.6, len(found) - 0.4], "showgrid": False},
            "shapes": [_line(x0=0, x1=0, y0=0, y1=1, yref="paper")],
        },
    )


def at_k_figures(prefix: str, metrics: Mapping[str, Any]) -> Iterator[Figure]:
    """Draw recall and NDCG over the cut-offs, a line per system."""
    systems = list(metrics["systems"])
    look = styles(systems)
    cuts = sorted(int(name.partition("@")[2]) for name in metrics["systems"][systems[0]] if name.startswith("ndcg@"))
    for measure, title in _AT_K.items():
        traces, rows = [], []
        for order, system in enumerate(systems):
            found = [Estimate.of(metrics["systems"][system][f"{measure}@{k}"]) for k in cuts]
            # Equal steps between cut-offs, and a little beside each other so that no interval hides another.
            places = [place + (order - (len(systems) - 1) / 2) * 0.035 for place in range(len(cuts))]
            traces.append(interval_trace(found, places, look[system], system, "y", "lines+markers"))
            rows.append([system, *(show(estimate) for estimate in found)])
        yield make_figure(
            f"{prefix}-{measure}-at-k",
            f"{title} at k",
            f"{title} over the cut-offs {', '.join(map(str, cuts))} for {', '.join(systems)}, with intervals.",
            traces[::-1],  # the shipped order is drawn last, over the others
            Table(["system", *(f"{title}@{k}" for k in cuts)], rows),
            height=380,
            layout={
                "xaxis": {
                    "title": {"text": "k, items of the list that count"},
                    "tickvals": list(range(len(cuts))),
                    "ticktext": [str(k) for k in cuts],
                    "range": [-0.3, len(cuts) - 0.7],
                },
                "yaxis": {"title": {"text": title}, "rangemode": "tozero"},
            },
        )


def segment_figures(prefix: str, metrics: Mapping[str, Any], measure: str = "ndcg") -> Iterator[Figure]:
    """Draw a dot plot per kind of segment, the systems of a segment below each other."""
    if not metrics["segments"]:
        return
    some = next(iter(next(iter(metrics["segments"].values())).values()))
    cuts = [int(name.partition("@")[2]) for name in some if name.startswith(f"{measure}@")]
    k = 10 if 10 in cuts else min(cuts)
    kinds = dict.fromkeys(name.partition(": ")[0] for name in metrics["segments"])
    for kind in kinds:
        names = [name for name in metrics["segments"] if name.partition(": ")[0] == kind]
        yield _segment_figure(prefix, kind, names, metrics, measure, k)


def _segment_figure(
    prefix: str, kind: str, names: Sequence[str], metrics: Mapping[str, Any], measure: str, k: int
) -> Figure:
    systems = list(metrics["systems"])
    look = styles(systems)
    step = len(systems) + 2.0  # rows of a segment, and room to the next one
    tops = {name: (len(names) - 1 - place) * step for place, name in enumerate(names)}
    traces = []
    for order, system in enumerate(systems):
        found = [Estimate.of(metrics["segments"][name][system][f"{measure}@{k}"]) for name in names]
        rows = [tops[name] + (len(systems) - 1) / 2 - order for name in names]
        traces.append(interval_trace(found, rows, look[system], system, "x"))
    highs = (metrics["segments"][name][system][f"{measure}@{k}"]["high"] for name in names for system in systems)
    most = max(highs) or 1.0
    sizes = {name: metrics["segment_sizes"][name] for name in names}
    labels = [
        f"<b>{name.partition(': ')[2]}</b><br>{sizes[name]['requests']:,} requests<br>{sizes[name]['users']:,} users"
        for name in names
    ]
    title = _AT_K[measure]
    table = Table(
        ["segment", "requests", "users", "system", f"{title}@{k}", f"Recall@{k}"],
        [
            [
                name.partition(": ")[2],
                f"{sizes[name]['requests']:,}",
                f"{sizes[name]['users']:,}",
                system,
                show(metrics["segments"][name][system][f"{measure}@{k}"]),
                show(metrics["segments"][name][system][f"recall@{k}"]),
            ]
            for name in names
            for system in systems
        ],
    )
    between = [_line(y0=top - step / 2, y1=top - step / 2, x0=0, x1=1, xref="paper") for top in tops.values()]
    return make_figure(
        f"{prefix}-segment-{kind}",
        _GROUPS.get(kind, kind),
        f"{title} at {k} of each system in the segments {', '.join(names)}, with intervals.",
        traces,
        table,
        height=int(70 + len(names) * max(78, 15 * step)),
        layout={
            # From a little below zero, so that a mark there stands clear of the names.
            "xaxis": {"title": {"text": f"{title}@{k}"}, "range": [-0.04 * most, 1.04 * most]},
            "yaxis": {
                "tickvals": list(tops.values()),
                "ticktext": labels,
                "range": [-step / 2, (len(names) - 0.5) * step],
                "showgrid": False,
                "ticks": "",
            },
            "shapes": between[:-1],
        },
    )


def popularity_figure(prefix: str, found: Sequence[Shares], k: int) -> Figure:
    """Draw the shares of head, torso and tail as bars of equal length."""
    places = list(range(len(found)))[::-1]
    traces = []
    for kind in CLASSES:
        values = [100 * shares.shares[kind] for shares in found]
        traces.append(
            go.Bar(
                x=np.round(values, 3).tolist(),
                y=places,
                orientation="h",
                name=kind,
                marker={"color": SHARES[kind], "line": {"color": "#ffffff", "width": 1.5}},
                # What finds no room stands in the table.
                text=[f"{value:.0f}%" if value >= 6 else "" for value in values],
                textposition="inside",
                insidetextanchor="middle",
                textangle=0,
                textfont={"color": "#1d2433" if kind == "tail" else "#ffffff", "size": 12},
                width=0.72,
                hovertemplate=f"%{{x:.1f}}% {kind}<extra></extra>",
            )
        )
    table = Table(
        ["", *CLASSES, "of the tail: never met before (cold)"],
        [[s.name, *(f"{s.shares[kind]:.1%}" for kind in CLASSES), f"{s.cold:.1%}"] for s in found],
    )
    return make_figure(
        f"{prefix}-popularity",
        f"Where the first {k} places go",
        f"Shares of head, torso and tail in the catalogue, the users' choices and the first {k} places of each system.",
        traces,
        table,
        height=70 + 36 * len(found),
        layout={
            "barmode": "stack",
            "uniformtext": {"minsize": 10, "mode": "hide"},
            "xaxis": {"range": [0, 100], "ticksuffix": "%", "title": {"text": "share"}},
            "yaxis": {
                "tickvals": places,
                "ticktext": [shares.label for shares in found],
                "showgrid": False,
                "ticks": "",
            },
            "shapes": [_line(y0=len(found) - 2.5, y1=len(found) - 2.5, x0=0, x1=1, xref="paper")],
        },
    )


def interval_trace(
    found: Sequence[Estimate], places: Sequence[float], style: Style, name: str, along: str, mode: str = "markers"
) -> Any:
    """Return marks with bars to both ends of their intervals; ``along`` names the axis of the values."""
    values = [estimate.value for estimate in found]
    bars = {
        "type": "data",
        "symmetric": False,
        "array": [estimate.high - estimate.value for estimate in found],
        "arrayminus": [estimate.value - estimate.low for estimate in found],
        "thickness": 1.6,
        "width": 0,
        "color": style.color,
    }
    across = "x" if along == "y" else "y"
    return go.Scatter(
        **{along: values, across: list(places), f"error_{along}": bars},
        mode=mode,
        name=name,
        cliponaxis=False,  # a mark at zero is seen whole
        marker={"symbol": style.mark, "size": style.size, "color": style.color, "line": {"color": "#fff", "width": 1}},
        line={"color": style.color, "dash": style.dash, "width": style.width},
        text=[show(estimate) for estimate in found],
        hovertemplate=f"{name}<br>%{{text}}<extra></extra>",
    )


def _line(**ends: Any) -> dict[str, Any]:
    return {"type": "line", "layer": "below", "line": {"color": FAINT, "width": 1, "dash": "dot"}, **ends}
