"""``front.json``: what ``mercato front`` measured, and whether it is still of the run that it lies in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from commerce.durable import write_atomic
from commerce.intervals import Interval
from configs.errors import InputError
from pipeline.run_folder import RunFolder
from pipeline.stage import FRONT
from pipeline.stage_key import outputs_digest
from ranking.cost import Cost
from ranking.front import BLENDED, Front, Point, Shape
from ranking.gate import CUT, Verdict
from ranking.request_cost import RequestCost

FORMAT = 1
"""Version of the file."""
INPUTS = ("prepare", "adapt", "embed", "retrieve")
"""Stages whose files the front is measured on."""


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
        "format": FORMAT,
        "mercato": version("mercato"),
        **terms,
        "inputs": {name: outputs_digest(run, name) for name in INPUTS},
        "metric": f"ndcg@{CUT}",
        "points": [_point(point, found) for point in found.front.standings],
        "refused": [{**point._asdict(), "minutes": round(cost.minutes, 2)} for point, cost in found.refused.items()],
        "collapsed": [{**shape._asdict(), "reason": why} for shape, why in found.collapsed.items()],
        "choice": None if choice == BLENDED else choice._asdict(),
        "gate": found.verdict.as_json() if found.verdict else None,
    }
    write_atomic(run.root / FRONT, json.dumps(told, indent=1, ensure_ascii=False))
    return told


def read_front(run: RunFolder) -> tuple[dict[str, Any], bool] | None:
    """Return what the file holds, and whether it was measured on the run's files as they are; None without a file.

    Raises:
        InputError: if the file is of another format.
    """
    path = run.root / FRONT
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    if found.get("format") != FORMAT:
        raise InputError(
            f"{path} has format {found.get('format')!r}, and {FORMAT} is read; run `mercato front CONFIG` again, or "
            "remove the file"
        )
    return found, found["inputs"] == {name: outputs_digest(run, name) for name in INPUTS}


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
