"""The numbers that stand first: every system at one cut-off, what the differences mean, and the terms they hold on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.tables import cut_off, verdict

MEASURES = {
    "recall": "Recall",
    "ndcg": "NDCG",
    "mrr": "MRR",
    "hit_rate": "Hit rate",
    "coverage": "Coverage",
    "novelty": "Novelty (bits)",
}
"""Measures of the headline table and their titles."""
DIFFERENCES = ("ndcg", "recall")
"""Measures of which paired differences are shown; the first one gives the verdict in words."""
_NOT_BETTER_FOR_MORE = ("coverage", "novelty")
_OURS = ("mercato", "towers", "oracle")


@dataclass(frozen=True)
class Estimate:
    """A number and its interval, as ``metrics.json`` has them."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: Mapping[str, float]) -> Estimate:
        """Read it; whatever else stands beside (p-values) is left out."""
        return cls(numbers["value"], numbers["low"], numbers["high"])


@dataclass(frozen=True)
class Row:
    """A system's line in the headline table."""

    system: str
    cells: list[Estimate]
    """One for each of ``MEASURES``."""
    best: list[bool]
    """Whether no other system but the oracle has more, by cell; never of what is not better for being more."""


@dataclass(frozen=True)
class Difference:
    """What one system has more than another, on the same requests."""

    ours: str
    other: str
    measures: dict[str, Estimate]
    """By measure, without the cut-off."""
    p_values: dict[str, float]
    """By measure, corrected for all differences that were tested together."""
    words: dict[str, str]
    """better, worse or no difference seen, by measure."""


def rows(metrics: dict[str, Any]) -> list[Row]:
    """Return the headline table, one row per system."""
    k = cut_off(metrics)
    values = {
        system: [Estimate.of(found[f"{measure}@{k}"]) for measure in MEASURES]
        for system, found in metrics["systems"].items()
    }
    rivals = [cells for system, cells in values.items() if system != "oracle"]
    most = [
        None if measure in _NOT_BETTER_FOR_MORE else max(cells[place].value for cells in rivals)
        for place, measure in enumerate(MEASURES)
    ]
    return [
        Row(system, cells, [system != "oracle" and found.value == top for found, top in zip(cells, most, strict=True)])
        for system, cells in values.items()
    ]


def differences(metrics: dict[str, Any]) -> list[Difference]:
    """Return the paired differences at the headline's cut-off, with what follows from each in words."""
    k = cut_off(metrics)
    found = []
    for pair, measures in metrics["paired"].items():
        ours, _, other = pair.partition(" - ")
        shown = {name: measures[f"{name}@{k}"] for name in DIFFERENCES}
        found.append(
            Difference(
                ours=ours,
                other=other,
                measures={name: Estimate.of(numbers) for name, numbers in shown.items()},
                p_values={name: numbers["p_holm"] for name, numbers in shown.items()},
                words={name: verdict(metrics, numbers) for name, numbers in shown.items()},
            )
        )
    return found


def sentence(metrics: dict[str, Any]) -> str:
    """Say in a sentence or two how the shipped order does against the baselines."""
    measure, k = DIFFERENCES[0], cut_off(metrics)
    against = {d.other: d.words[measure] for d in differences(metrics) if d.ours == "mercato" and d.other not in _OURS}
    groups = {
        word: [name for name, found in against.items() if found == word] for word in dict.fromkeys(against.values())
    }
    phrases = {"better": "better than", "worse": "worse than", "no difference seen": "not seen to differ from"}
    said = "; ".join(f"{phrases[word]} {_join(names)}" for word, names in groups.items())
    text = f"In NDCG@{k}, the shipped order (mercato) is {said}." if said else "There are no baselines to compare with."
    systems = metrics["systems"]
    if "oracle" in systems and systems["oracle"][f"{measure}@{k}"]["value"] > 0:
        reached = systems["mercato"][f"{measure}@{k}"]["value"] / systems["oracle"][f"{measure}@{k}"]["value"]
        text += f" It reaches {reached:.0%} of what the oracle shows to be reachable."
    return text


def terms(metrics: dict[str, Any]) -> dict[str, str]:
    """Return the protocol, term by term: without it no number of the report means anything."""
    window, precision = metrics["window"], metrics["intervals"]
    return {
        "Data": metrics["dataset"],
        "Split": str(metrics["split"]),
        "Test window": (
            f"{_moment(window['from'])} to {_moment(window['until'])} UTC"
            if window["from"]
            else "each user's last target event"
        ),
        "Targets (gain)": ", ".join(f"{action} {gain:g}" for action, gain in metrics["targets"].items()),
        "filter_seen": "on" if metrics["filter_seen"] else "off",
        "Repeats": metrics["repeats"],
        "Requests": f"{metrics['requests']:,} requests of {metrics['users']:,} users",
        "Items": (
            f"{metrics['items']:,}, of which {metrics['catalogue']:,} could be shown; ranked in full over those "
            "available at the moment, never over a sample"
        ),
        "Confidence": f"{precision['confidence']:.0%}",
        "Intervals": (
            f"from {precision['resamples']:,} resamples of {precision['over']}; differences are paired, on the same "
            "requests"
        ),
        "Seed": str(metrics["seed"]),
        "Hardware": metrics["hardware"],
    }


def _moment(text: str) -> str:
    return text[:16].replace("T", " ")


def _join(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
