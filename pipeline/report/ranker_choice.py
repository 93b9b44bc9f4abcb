"""Which reranker is worth its cost, for a person: lines for the console, and the front for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from typing import Any

import plotly.graph_objects as go
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as ConsoleTable

from pipeline.front_file import FRONT_FILE
from pipeline.report.figure import Figure, Table, make_figure
from pipeline.report.headline import Estimate
from pipeline.report.look import FAINT, Style
from pipeline.report.plots import interval_trace, show
from pipeline.run_folder import RunFolder
from ranking.front import BLENDED, Shape

_CHOSEN = "#1746c7"
# A colour and a dash for how texts are read, a mark for the layers: neither stands alone.
_COLORS = {"context_once": ("#4f8fd6", "solid"), "full": ("#a0742f", "dash")}
_MARKS = ("circle", "diamond", "square", "triangle-up", "triangle-down", "cross")
_COSTS = {"processor_ms": "processor time", "ms": "time"}
_WIDTH = 124


@dataclass(frozen=True)
class RankerChoice:
    """What the page says of the choice."""

    current: bool
    """Whether it was measured on the run's files as they are now."""
    sentences: list[str]
    terms: dict[str, str]
    figure: Figure


def read_ranker_choice(run: RunFolder) -> RankerChoice | None:
    """Return what ``front.json`` tells; None where no front was measured."""
    read = FRONT_FILE.read(run)
    if read is None:
        return None
    found, current = read
    return RankerChoice(current, findings(found), _terms(found), _figure(found))


def words(shape: Shape) -> str:
    """Return how a person calls a reranker."""
    return f"{shape.attention}, {shape.layers} layer{'s' if shape.layers > 1 else ''}"


def front_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the front as a table, what follows from it and the settings to write; ``found``: ``front.json``."""
    out = StringIO()
    table = ConsoleTable(title=f"{found['dataset']}: quality and cost of rerankers", title_justify="left")
    table.box = SIMPLE_HEAD
    header, rows = _table(found)
    for title in header:
        table.add_column(title, justify="left" if title in ("attention", "") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(file=out, width=_WIDTH, color_system=None, highlight=False)
    for part in (table, *findings(found), *(f"{title}: {words}" for title, words in _terms(found).items())):
        console.print(part, markup=False)
    return [line.rstrip() for line in out.getvalue().rstrip("\n").split("\n")]


def findings(found: Mapping[str, Any]) -> list[str]:
    """Say what is chosen, why, and what the gate says of it."""
    best = next(point for point in found["points"] if point["best"])
    if found["choice"] is None:
        return [
            f"No reranker is chosen: the blended order is not below the best, {_name(best)}, beyond chance: "
            f"{_difference(_blended(found))}. ranking.enabled=false saves its cost; more ranking.fit_users would show "
            "smaller differences."
        ]
    chosen = next(point for point in found["points"] if point["chosen"])
    settings = " ".join(f"ranking.{name}={value}" for name, value in found["choice"].items())
    if chosen is best:
        first = f"Chosen: {settings}. It is the best, and everything cheaper is worse beyond chance."
    else:
        share = chosen[found["compared_by"]] / best[found["compared_by"]]
        first = (
            f"Chosen: {settings}. It is the cheapest that is not below the best, {_name(best)}, beyond chance: "
            f"{_difference(chosen)}; it costs {share:.0%} of that."
        )
    return [first, f"On the gate half, which nothing was chosen on: {found['gate']['reason']}."]


def _terms(found: Mapping[str, Any]) -> dict[str, str]:
    timed = found["timed"]
    terms = {
        "Measured on": f"{found['requests']:,} requests of {found['users']:,} users of the fit half of validation",
        "Seen items": "left out" if found["filter_seen"] else "kept",
        "Trained on": found["lists"].partition(": ")[2],
        "Cost": (
            f"median of {timed['rounds']} rounds over {timed['requests']} requests scored one by one in "
            f"{timed['precision']}, all points in turn; threads: {found['threads']}, device: {found['device']}; "
            f"compared by {_COSTS[found['compared_by']]}"
        ),
        "Hardware": found["hardware"],
        "Intervals": (
            f"{found['intervals']['confidence']:.0%}, {found['intervals']['resamples']:,} resamples of users, seed "
            f"{found['seed']}"
        ),
    }
    if found["refused"]:
        refused = (f"{_name(point)}: {point['minutes']:.1f} min" for point in found["refused"])
        terms["Refused"] = f"above ranking.max_minutes={found['max_minutes']:g}, not measured: {'; '.join(refused)}"
    if found["collapsed"]:
        terms["Collapsed"] = "; ".join(
            f"{words(Shape(one['attention'], one['layers']))}: {one['reason']}" for one in found["collapsed"]
        )
    return terms


def _table(found: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    metric = found["metric"].upper()
    header = ["attention", "layers", "depth", "weight", metric, "minus the best", "CPU ms", "ms", "tokens", ""]
    rows = [
        [
            *_settings(point),
            f"{point['weight']:g}",
            f"{point[found['metric']]['value']:.4f}",
            show(point["minus_best"], signed=True),
            f"{point['processor_ms']:.1f}",
            f"{point['ms']:.1f}",
            f"{point['tokens']:,.0f}",
            _remarks(point),
        ]
        for point in sorted(found["points"], key=lambda point: point[found["compared_by"]])
    ]
    return header, rows


def _settings(point: Mapping[str, Any]) -> list[str]:
    if point["attention"] == BLENDED.attention:
        return ["blended order", "", ""]
    return [point["attention"], str(point["layers"]), str(point["depth"])]


def _remarks(point: Mapping[str, Any]) -> str:
    said = [name for name in ("chosen", "best") if point[name]]
    return ", ".join(said or (["unbeaten"] if point["unbeaten"] else []))


def _figure(found: Mapping[str, Any]) -> Figure:
    metric, by = found["metric"].upper(), found["compared_by"]
    read = [point for point in found["points"] if point["attention"] != BLENDED.attention]
    shapes = dict.fromkeys(Shape(point["attention"], point["layers"]) for point in read)
    traces = [
        _trace([point for point in read if Shape(point["attention"], point["layers"]) == shape], shape, by)
        for shape in shapes
    ]
    traces += [_ring(point, by) for point in read if point["chosen"]]
    blended = _blended(found)["minus_best"]["value"]
    return make_figure(
        "ranker-front",
        f"{metric} of rerankers below the best, over what a request costs",
        f"{len(read)} rerankers by {_COSTS[by]} of a request and difference in {metric} from the best, with paired "
        f"intervals; those that reach the line at 0 are as good as the best. The blended order lies at {blended:+.4f}.",
        traces,
        Table(*_table(found)),
        height=440,
        layout={
            "xaxis": {"title": {"text": f"{_COSTS[by]} of a request, ms"}, "type": "log"},
            "yaxis": {"title": {"text": f"{metric}, minus the best"}},
            "shapes": [_line(0.0, "solid"), _line(blended, "dot")],
            "annotations": [
                {
                    "x": 1, "xref": "paper", "xanchor": "right", "y": blended, "yanchor": "bottom",
                    "text": "blended order", "showarrow": False, "font": {"color": FAINT},
                }
            ],
            "showlegend": True,
            "legend": {"orientation": "h", "y": -0.2},
        },
    )  # fmt: skip


def _trace(points: list[Mapping[str, Any]], shape: Shape, by: str) -> Any:
    color, dash = _COLORS[shape.attention]
    style = Style(color, _MARKS[(shape.layers - 1) % len(_MARKS)], dash=dash, size=9)
    differences = [Estimate.of(point["minus_best"]) for point in points]
    trace = interval_trace(differences, [point[by] for point in points], style, words(shape), "y", "lines+markers+text")
    trace.update(
        text=[f"{point['depth']}" for point in points],
        textposition="top right",
        customdata=[f"depth {point['depth']}, {point['tokens']:,.0f} tokens" for point in points],
        hovertemplate=f"{words(shape)}, %{{customdata}}<br>%{{y:+.4f}}, %{{x:.1f}} ms<extra></extra>",
    )
    return trace


def _ring(point: Mapping[str, Any], by: str) -> Any:
    return go.Scatter(
        x=[point[by]],
        y=[point["minus_best"]["value"]],
        mode="markers",
        name="chosen",
        cliponaxis=False,
        marker={"size": 20, "color": _CHOSEN, "symbol": "circle-open", "line": {"width": 2}},
        hoverinfo="skip",
    )


def _line(height: float, dash: str) -> dict[str, Any]:
    line = {"color": FAINT, "width": 1, "dash": dash}
    return {
        "type": "line",
        "layer": "below",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": height,
        "y1": height,
        "line": line,
    }


def _blended(found: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(point for point in found["points"] if point["attention"] == BLENDED.attention)


def _difference(point: Mapping[str, Any]) -> str:
    return show(point["minus_best"], signed=True)


def _name(point: Mapping[str, Any]) -> str:
    shape = Shape(point["attention"], point["layers"])
    return f"{words(shape)}, depth {point['depth']}" if shape.attention != BLENDED.attention else "the blended order"
