"""``front.json``: what ``mercato front`` measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from commerce.intervals import Interval
from pipeline.measured_file import MeasuredFile
from pipeline.run_folder import RunFolder
from pipeline.stage import FRONT
from ranking.cost import Cost
from ranking.front import BLENDED, Front, Point, Shape
from ranking.gate import CUT, Verdict
from ranking.request_cost import RequestCost

FRONT_FILE = MeasuredFile(FRONT, 1, ("prepare", "adapt", "embed", "retrieve"), "front")


@dataclass(frozen=True)
class Found:
    """What was measured."""

    front: Front
    weights: Mapping[Point, float]
    costs: Mapping[Point, RequestCost]
    refused: Mapping[Point, Cost]
    collapsed: Mapping[Shape, str]
    """Why the training of a ranker was stopped."""
    verdict: Verdict | None
    """Of the gate on the choice; None where that is the blended order."""


def write_front(run: RunFolder, terms: Mapping[str, Any], found: Found) -> dict[str, Any]:
    """Write the file into the run folder and return what it holds.

    Args:
        run: with the stages that the front was measured on.
        terms: on which it was measured, plain values.
        found: what came out.
    """
    choice = found.front.choice
    told = {
        "mercato": version("mercato"),
        **terms,
        "metric": f"ndcg@{CUT}",
        "points": [_point(point, found) for point in found.front.standings],
        "refused": [{**point._asdict(), "minutes": round(cost.minutes, 2)} for point, cost in found.refused.items()],
        "collapsed": [{**shape._asdict(), "reason": why} for shape, why in found.collapsed.items()],
        "choice": None if choice == BLENDED else choice._asdict(),
        "gate": found.verdict.as_json() if found.verdict else None,
    }
    return FRONT_FILE.write(run, told)


def _point(point: Point, found: Found) -> dict[str, Any]:
    standing, cost = found.front.standings[point], found.costs[point]
    return {
        **point._asdict(),
        "weight": found.weights[point],
        f"ndcg@{CUT}": _rounded(standing.quality),
        "minus_best": _rounded(standing.minus_best),
        "ms": round(1e3 * cost.seconds, 3),
        "processor_ms": round(1e3 * cost.processor_seconds, 3),
        "tokens": round(cost.tokens, 1),
        "unbeaten": standing.unbeaten,
        "as_good": standing.as_good,
        "best": point == found.front.best,
        "chosen": point == found.front.choice,
    }


def _rounded(interval: Interval) -> dict[str, float]:
    return {name: round(number, 6) for name, number in interval.as_dict().items()}
