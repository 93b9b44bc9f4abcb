"""A comparison of two systems, for a person: a row per measure and part, and in words what follows."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from commerce.differences import Difference
from pipeline.tables import shown_p

_WIDTH = 124


def comparison_lines(first: str, second: str, differences: Sequence[Difference], confidence: float) -> list[str]:
    """Return the table of ``second`` (B) against ``first`` (A), line by line."""
    table = Table(title=escape(f"A: {first}\nB: {second}"), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("segment", min_width=20)
    table.add_column("metric", no_wrap=True)
    for name in ("requests", "users", "A", "B", f"B - A ({confidence:.0%})", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("B is", no_wrap=True)
    before = ""
    for found in differences:
        same = found.part == before
        before = found.part
        interval = found.interval
        table.add_row(
            *(("", found.metric, "", "") if same else (escape(found.part), found.metric, *_sizes(found))),
            f"{found.first:.4f}",
            f"{found.second:.4f}",
            f"{interval.value:+.4f} ({interval.low:+.4f} to {interval.high:+.4f})",
            shown_p(found.p_value),
            found.verdict(confidence),
        )
    out = StringIO()
    Console(file=out, width=_WIDTH, color_system=None).print(table)
    return [line.rstrip() for line in out.getvalue().rstrip("\n").split("\n")]


def _sizes(found: Difference) -> tuple[str, str]:
    return f"{found.requests:,}", f"{found.users:,}"
