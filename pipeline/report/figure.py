"""A figure of the page: a plotly plot, how to read it, and its numbers as a table for those who cannot see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

from pipeline.report.look import FAINT, GRID, INK

FONT = '-apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Noto Sans CJK SC", Arial, sans-serif'


@dataclass(frozen=True)
class Table:
    """Numbers in words."""

    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Figure:
    """What the template shows in one place."""

    name: str
    """Of the HTML elements; unique on the page."""
    title: str
    alt: str
    """What the plot shows, in a sentence."""
    plot: Markup
    """The plot as JSON that may stand in a script element."""
    height: int
    """In pixels, kept free before the plot is drawn."""
    table: Table


def make_figure(
    name: str,
    title: str,
    alt: str,
    traces: Sequence[Any],
    table: Table,
    *,
    height: int,
    layout: dict[str, Any],
) -> Figure:
    """Return the figure with the page's look; ``layout`` is plotly's and adds to it."""
    plot = go.Figure(data=list(traces), layout=_layout(height))
    plot.update_layout(layout)
    text: str = plot.to_json() or ""
    # Inside a script element only "<" can end or begin anything, and in JSON it stands in strings alone.
    safe = Markup(text.replace("<", "\\u003c"))
    return Figure(name, title, alt, safe, height, table)


def _layout(height: int) -> dict[str, Any]:
    axis = {
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": "#b9c0cc",
        "ticks": "outside",
        "tickcolor": "#b9c0cc",
        "ticklen": 4,
        "automargin": True,
        "fixedrange": True,
        "title": {"font": {"size": 13, "color": FAINT}, "standoff": 8},
    }
    return {
        "template": "none",
        "height": height,
        "margin": {"l": 12, "r": 22, "t": 10, "b": 12},
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {"font": {"family": FONT, "size": 13}},
        "xaxis": axis,
        "yaxis": axis,
    }
