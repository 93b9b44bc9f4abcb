"""What noise in texts does to the shipped order: the differences from the clean order, for the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.report.figure import Figure, Table, make_figure
from pipeline.report.headline import Estimate
from pipeline.report.look import FAINT, Style
from pipeline.report.plots import interval_trace, show
from pipeline.robustness_file import ROBUSTNESS
from pipeline.run_folder import RunFolder

_LOOKS = {
    "typos": Style("#1746c7", "circle", size=9),
    "order": Style("#a0742f", "square", size=9),
    "script": Style("#93689f", "diamond", size=10),
}
_WORDS = {"typos": "typos", "order": "another order of words", "script": "look-alike letters"}


@dataclass(frozen=True)
class UnderNoise:
    """What the page says of noise."""

    current: bool
    """Whether it was measured on the run's files as they are now."""
    sentence: str
    terms: dict[str, str]
    figure: Figure


def read_noise(run: RunFolder) -> UnderNoise | None:
    """Return what ``robustness.json`` tells; None where no noise was tried."""
    read = ROBUSTNESS.read(run)
    if read is None:
        return None
    found, current = read
    return UnderNoise(current, finding(found), _terms(found), _figure(found))


def finding(found: Mapping[str, Any]) -> str:
    """Say how good the order is without noise, and which noise costs it most."""
    worst = min(found["rows"], key=lambda row: row["difference"]["value"])
    clean = f"NDCG@{found['cut']} of the shipped order without noise: {show(found['clean'])}."
    if worst["difference"]["high"] >= 0:
        return f"{clean} No noise that was tried costs it anything beyond chance."
    return f"{clean} The most is lost by {_label(worst)}: {show(worst['difference'], signed=True)}."


def _label(row: Mapping[str, Any]) -> str:
    where = {"both": "queries and products"}.get(row["where"], row["where"])
    return f"{_WORDS[row['noise']]} in {where}, strength {row['strength']:g}"


def _terms(found: Mapping[str, Any]) -> dict[str, str]:
    intervals = found["intervals"]
    return {
        "Measured on": f"{found['requests']:,} test requests, {found['with_query']:,} of them with search terms",
        "Re-ordered": f"the first {found['depth']:,} candidates, which stay those retrieved without noise",
        "Hardware": found["hardware"],
        "Intervals": (
            f"{intervals['confidence']:.0%}, {intervals['resamples']:,} resamples of {intervals['over']}, seed "
            f"{found['seed']}"
        ),
    }


def _figure(found: Mapping[str, Any]) -> Figure:
    rows, cut = found["rows"], found["cut"]
    places = list(range(len(rows)))[::-1]
    traces = []
    for kind, style in _LOOKS.items():
        mine = [(place, row) for place, row in zip(places, rows, strict=True) if row["noise"] == kind]
        differences = [Estimate.of(row["difference"]) for _, row in mine]
        traces.append(interval_trace(differences, [place for place, _ in mine], style, _WORDS[kind], "x"))
    table = Table(
        ["noise", "requests", "without", "with", "difference"],
        [
            [
                _label(row),
                f"{row['requests']:,}",
                f"{row['clean']['value']:.4f}",
                f"{row['noised']['value']:.4f}",
                show(row["difference"], signed=True),
            ]
            for row in rows
        ],
    )
    return make_figure(
        "under-noise",
        f"NDCG@{cut} under noise, minus without",
        f"Differences in NDCG at {cut} of the shipped order between texts with noise and as they are, with paired "
        "intervals; left of the line at 0 noise costs quality.",
        traces,
        table,
        height=90 + 36 * len(rows),
        layout={
            "xaxis": {"title": {"text": f"difference in NDCG@{cut}"}},
            "yaxis": {
                "tickvals": places,
                "ticktext": [_label(row).replace(" in ", "<br>in ") for row in rows],  # a phone is narrow
                "range": [-0.6, len(rows) - 0.4],
                "showgrid": False,
            },
            "shapes": [
                {
                    "type": "line", "layer": "below", "yref": "paper", "x0": 0, "x1": 0, "y0": 0, "y1": 1,
                    "line": {"color": FAINT, "width": 1, "dash": "dot"},
                }
            ],
        },
    )  # fmt: skip
