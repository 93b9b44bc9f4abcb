"""The learning curve for a person: lines that say what it shows, a table for the console, and a page with its plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as ConsoleTable

from pipeline.report.figure import Figure, Table, make_figure
from pipeline.report.headline import Estimate
from pipeline.report.look import styles
from pipeline.report.page import environment, page_facts
from pipeline.report.plots import interval_trace, show
from pipeline.tables import protocol

_TITLES = {"ndcg": "NDCG", "recall": "Recall"}
_SYSTEMS = ("mercato", "towers", "item_knn", "popularity", "oracle")
"""Shown, where they were measured; the last lines drawn lie below."""
_PAIR = "towers - item_knn"
_WIDTH = 116


def curve_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the curve as a table, and what follows from it, for the console; ``found``: ``learning-curve.json``."""
    k, out = found["k"], StringIO()
    systems = _systems(found)
    table = ConsoleTable(title=f"{found['dataset']}: NDCG@{k} over the share of users", title_justify="left")
    table.box = SIMPLE_HEAD
    for title in ("share", "users", "events", *systems, f"{_PAIR}"):
        table.add_column(title, justify="right")
    for point in found["points"]:
        values = [f"{point['systems'][system][f'ndcg@{k}']['value']:.4f}" for system in systems]
        difference = point[_PAIR][f"ndcg@{k}"]
        words = f"{show(_estimate(difference), signed=True)} {difference['verdict']}"
        table.add_row(f"{point['share']:.3g}", f"{point['users']:,}", f"{point['events']:,}", *values, words)
    console = Console(file=out, width=_WIDTH, color_system=None, highlight=False)
    for part in (table, *findings(found), protocol(dict(found))):
        console.print(part)
    return [line.rstrip() for line in out.getvalue().rstrip("\n").split("\n")]


def findings(found: Mapping[str, Any]) -> list[str]:
    """Say what the curve shows: where the towers pass item-kNN, and whether more users would help."""
    measure = f"ndcg@{found['k']}"
    points, last = found["points"], found["growth"][-1]
    better = [point[_PAIR][measure]["verdict"] == "better" for point in points]
    title = f"NDCG@{found['k']}"
    if better[-1]:
        since = next(place for place in range(len(points)) if all(better[place:]))
        first = (
            f"The towers beat item-kNN from {points[since]['users']:,} users on "
            f"({_percent(points[since]['share'])} of them) by {title}."
        )
    else:
        first = (
            f"The towers do not beat item-kNN by {title} with the {points[-1]['users']:,} users there are: "
            f"{show(_estimate(points[-1][_PAIR][measure]), signed=True)}."
        )
    grown = points[-1]["users"] / max(1, points[-2]["users"])
    change = f"{show(_estimate(last[measure]), signed=True)} in {title}"
    second = f"The last step, {grown:.3g} times the users, changed the towers by {change}: "
    rising = last[measure]["verdict"] == "better"
    return [first, second + ("more users would likely help." if rising else "no gain was seen; more may not help.")]


def render_curve(found: Mapping[str, Any]) -> str:
    """Return the page as HTML, everything it needs inside the one file."""
    systems = _systems(found)
    k = found["k"]
    rows = [
        {
            "title": f"towers − item_knn, {_percent(point['share'])} of the users ({point['users']:,})",
            "found": [point[_PAIR][f"{measure}@{k}"] for measure in _TITLES],
        }
        for point in found["points"]
    ]
    rows += [
        {
            "title": f"towers, {_percent(step['to'])} of the users − {_percent(step['from'])} of them",
            "found": [step[f"{measure}@{k}"] for measure in _TITLES],
        }
        for step in found["growth"]
    ]
    return (
        environment()
        .get_template("learning_curve.html")
        .render(
            **page_facts(),
            curve=found,
            lines=findings(found),
            systems=systems,
            looks=styles(systems),
            figures=list(_figures(found)),
            measures=[f"{title}@{k}" for title in _TITLES.values()],
            rows=rows,
            show=show,
            protocol=protocol(dict(found)),
        )
    )


def _figures(found: Mapping[str, Any]) -> Iterator[Figure]:
    systems, points, k = _systems(found), found["points"], found["k"]
    look = styles(systems)
    users = [point["users"] for point in points]
    for measure, title in _TITLES.items():
        traces, rows = [], []
        for system in systems:
            values = [_estimate(point["systems"][system][f"{measure}@{k}"]) for point in points]
            traces.append(interval_trace(values, users, look[system], system, "y", "lines+markers"))
            rows.append([system, *(show(value) for value in values)])
        yield make_figure(
            f"curve-{measure}",
            f"{title}@{k} over the users learned from",
            f"{title} at {k} of {', '.join(systems)} when learning from {', '.join(map(str, users))} users.",
            traces[::-1],
            Table(["system", *(f"{count:,} users" for count in users)], rows),
            height=380,
            layout={
                "xaxis": {
                    "type": "log",
                    "title": {"text": "users learned from"},
                    "tickvals": users,
                    "ticktext": [f"{count:,}" for count in users],
                },
                "yaxis": {"title": {"text": f"{title}@{k}"}, "rangemode": "tozero"},
            },
        )


def _systems(found: Mapping[str, Any]) -> list[str]:
    measured = found["points"][-1]["systems"]
    return [system for system in _SYSTEMS if system in measured]


def _estimate(found: Mapping[str, Any]) -> Estimate:
    return Estimate(found["value"], found["low"], found["high"])


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
