"""What each part adds, for a person: a table for the console, and a page with it by segment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from commerce.differences import ALL
from pipeline.report.headline import Estimate
from pipeline.report.page import environment, page_facts
from pipeline.report.plots import show
from pipeline.tables import protocol, shown_p

_WIDTH = 124


def parts_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the table over all requests, and what to know beside it; ``found``: ``parts.json``."""
    out = StringIO()
    table = Table(title=f"{found['dataset']}: what each part adds", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("measured in, run", no_wrap=True)
    table.add_column("metric", no_wrap=True)
    for title in ("without", "with all", "all adds"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("all is", no_wrap=True)
    for (question, part), rows in _by_part(_overall(found)):
        # A line for each measure, of which there are two: what is asked, and below it what is left.
        for name, row in zip((f"{question} ({rows[0]['system']})", f"  {part}"), rows, strict=True):
            values = (f"{row['without']:.4f}", f"{row['with']:.4f}", show(Estimate.of(row["difference"]), signed=True))
            table.add_row(escape(name), row["metric"], *values, row["verdict"])
    console = Console(file=out, width=_WIDTH, color_system=None, highlight=False)
    for shown in (table, *notes(found), protocol(dict(found))):
        console.print(shown)
    return [line.rstrip() for line in out.getvalue().rstrip("\n").split("\n")]


def notes(found: Mapping[str, Any]) -> Iterator[str]:
    """Say what the table rests on, and what could not be asked."""
    seeds = ", ".join(map(str, found["seeds"]))
    yield f"Mean over seeds {seeds}; the requests of all seeds count together, resampled by whole users."
    shipped = sum(found["reranked"])
    if shipped < len(found["reranked"]):
        yield (
            f"The reranker shipped for {shipped} of {len(found['reranked'])} seeds; where its gate stayed shut, what "
            "it reads shows in nothing."
        )
    for line in found["left_out"]:
        yield f"Not asked: {line}."


def render_parts(found: Mapping[str, Any]) -> str:
    """Return the page as HTML, everything it needs inside the one file."""
    return (
        environment()
        .get_template("parts.html")
        .render(
            **page_facts(),
            found=found,
            notes=list(notes(found)),
            overall=_overall(found),
            questions=list(_segments(found)),
            show=show,
            shown_p=shown_p,
            protocol=protocol(dict(found)),
        )
    )


def _overall(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [row for row in found["rows"] if row["segment"] == ALL]


def _by_part(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[tuple[str, str], list[dict[str, Any]]]]:
    for asked, group in groupby(rows, key=lambda row: (row["question"], row["part"])):
        yield asked, list(group)


def _segments(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the first measure of each part by segment, where it was measured by segment."""
    for (question, part), rows in _by_part(found["rows"]):
        shown = [row for row in rows if row["metric"] == rows[0]["metric"]]
        if len(shown) > 1:
            yield {"title": f"{question}, {part}: {rows[0]['metric']} of {rows[0]['system']}", "rows": shown}
