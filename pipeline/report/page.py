"""The page: a Jinja2 template filled with a report, everything it needs inside the one file."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from pipeline.report.headline import DIFFERENCES, MEASURES
from pipeline.report.look import MARKS, SHARES, SIGNS
from pipeline.report.plots import show
from pipeline.tables import shown_p

if TYPE_CHECKING:
    from pipeline.report.compose import Report

_FOLDER = Path(__file__).parent / "page"


def render(report: Report) -> str:
    """Return the page as HTML. Titles and search terms are the shop's own words: all of them are escaped."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        report=report,
        measures=MEASURES,
        differing=DIFFERENCES,
        marks=MARKS,
        shares=SHARES,
        signs=SIGNS,
        show=show,
        shown_p=shown_p,
        version=version("mercato"),
        plotly=Markup(get_plotlyjs()),
    )
