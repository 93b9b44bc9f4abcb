"""How systems look in every plot and table: a colour and a mark each, so that colour never stands alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """Of one system."""

    color: str
    mark: str
    """A plotly symbol, which ``MARKS`` can draw too."""
    dash: str = "solid"
    width: float = 1.5
    size: int = 8


# Ours are blue, and the shipped order is the strongest line; baselines are muted, the oracle is a grey limit. Each is
# at least 3:1 against white, as WCAG 2.2 (1.4.11) asks of graphics.
_KNOWN = {
    "mercato": Style("#1746c7", "circle", width=3.2, size=11),
    "towers": Style("#4f8fd6", "diamond", width=2.0, size=9),
    "popularity": Style("#a0742f", "square"),
    "item_knn": Style("#5b8561", "triangle-up", size=9),
    "personal_frequency": Style("#93689f", "triangle-down", size=9),
    "bm25": Style("#b4606c", "cross"),
    "oracle": Style("#7b818b", "x", dash="dash"),
}
_OTHERS = tuple(Style(color, "pentagon") for color in ("#2f8a8a", "#8a6a4d", "#6a7a2f"))

SHARES = {"head": "#27364f", "torso": "#7388ad", "tail": "#cfd9ea"}
"""Colours of the classes of items, dark to light; not those of any system."""
INK, FAINT, GRID = "#1d2433", "#5a6475", "#e6e9ef"

SIGNS = {"better": "▲", "worse": "▼", "no difference seen": "="}
"""Beside a verdict in words, so that its colour never stands alone."""

MARKS = {
    "circle": "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11z",
    "diamond": "M8 1.5L14.5 8L8 14.5L1.5 8z",
    "square": "M3 3H13V13H3z",
    "triangle-up": "M8 2L14.5 13.5H1.5z",
    "triangle-down": "M8 14L14.5 2.5H1.5z",
    "cross": "M6 2H10V6H14V10H10V14H6V10H2V6H6z",
    "x": "M4.5 2L8 5.5L11.5 2L14 4.5L10.5 8L14 11.5L11.5 14L8 10.5L4.5 14L2 11.5L5.5 8L2 4.5z",
    "pentagon": "M8 1.5L14.5 6.3L12 14H4L1.5 6.3z",
}
"""The marks as SVG paths in a box of 16 by 16, for legends in HTML: those of plotly do not wrap on a phone."""


def styles(systems: Sequence[str]) -> dict[str, Style]:
    """Return each system's style; systems that nobody foresaw share what is left."""
    others = [system for system in systems if system not in _KNOWN]
    spare = {system: _OTHERS[place % len(_OTHERS)] for place, system in enumerate(others)}
    return {system: _KNOWN.get(system) or spare[system] for system in systems}
