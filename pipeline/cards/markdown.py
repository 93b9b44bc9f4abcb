"""Cards are Markdown: tables, numbers with intervals, and shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table, line by line, and an empty line after it; the first column is text, the others are numbers."""
    head = [f"| {' | '.join(columns)} |", "|---|" + "---:|" * (len(columns) - 1)]
    return [*head, *(f"| {' | '.join(map(cell, row))} |" for row in rows), ""]


def cell(text: str) -> str:
    """Return a text that stays in its cell and on its line."""
    return " ".join(text.replace("|", "\\|").split())


def interval(found: Mapping[str, float | None] | None) -> str:
    """Write a measure with its interval; a dash for one that was not measured."""
    if found is None or found["value"] is None:
        return "-"
    if found.get("low") is None:
        return f"{found['value']:.4f}"
    return f"{found['value']:.4f} ({found['low']:.4f} to {found['high']:.4f})"


def share(part: float, whole: float) -> str:
    """Write a part as percent of the whole; a dash where there is none."""
    return f"{part / whole:.1%}" if whole else "-"
