"""Pages: a Jinja2 template filled with a report, everything it needs inside the one file."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    """Return the page as HTML."""
    template = environment().get_template("report.html")
    return template.render(
        **page_facts(),
        report=report,
        measures=MEASURES,
        differing=DIFFERENCES,
        shares=SHARES,
        show=show,
        shown_p=shown_p,
    )


def environment() -> Environment:
    """Return where pages come from. Titles and search terms are the shop's own words: all of them are escaped."""
    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page_facts() -> dict[str, Any]:
    """Return what every page needs: how systems and verdicts look, our version, and plotly itself."""
    return {"marks": MARKS, "signs": SIGNS, "version": version("mercato"), "plotly": Markup(get_plotlyjs())}
