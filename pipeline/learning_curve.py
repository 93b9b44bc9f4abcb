"""``mercato learning-curve``: how good would the towers be with fewer users' data, and item-kNN beside them?

Each share of the users (``prepare.user_share``) is a run of its own, in a folder below the config's: what is learned,
counted and validated on comes from that share alone, while the test window asks every user. So all points answer the
same requests and their differences are paired. Smaller shares are parts of the larger ones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from commerce.differences import Difference, corrected, find_differences
from commerce.durable import write_atomic
from commerce.histories import Histories
from commerce.metrics import find
from commerce.significance import enough_draws
from configs.errors import InputError
from configs.schema import Config
from learning.hardware import machine
from pipeline.asked import Evaluated
from pipeline.report.learning_curve import render_curve
from pipeline.resampling import resampling
from pipeline.run_folder import RunFolder
from pipeline.run_stages import run_stages
from pipeline.stage import NAMES
from pipeline.tables import cut_off
from pipeline.takeover import take_over

FORMAT = 1
"""Version of ``learning-curve.json``."""
FOLDER, FILE, PAGE = "learning-curve", "learning-curve.json", "learning-curve.html"
OURS, BASELINE = "towers", "item_knn"
_STAGES = NAMES[: NAMES.index("evaluate") + 1]
_FEWEST_USERS = 50
_TERMS = (
    *("dataset", "split", "targets", "window", "filter_seen", "repeats"),
    *("requests", "users", "items", "seed", "intervals"),
)
"""What is taken over from ``metrics.json``: the terms, which are the same for all shares."""


@dataclass(frozen=True)
class Point:
    """One share of the users and what came of it."""

    share: float
    users: int
    """Users with something to learn from."""
    events: int
    """Their events in the towers' window."""
    run: Evaluated


def parse_fractions(text: str) -> list[float]:
    """Return the shares named in ``.05,.2,1``, ascending.

    Raises:
        InputError: if one is no number above 0 and at most 1, or there are fewer than two.
    """
    try:
        fractions = sorted({float(part) for part in text.split(",")})
    except ValueError:
        fractions = []
    if len(fractions) < 2 or not all(0 < fraction <= 1 for fraction in fractions):
        raise InputError(
            f"--fractions {text} is not understood; at least two shares of the users are expected, above 0 and at most "
            "1, parted by commas: --fractions .05,.2,1"
        )
    return fractions


def learning_curve(config: Config, fractions: Sequence[float], say: Callable[[str], None]) -> dict[str, Any]:
    """Train and measure on each share of the users; write the file and the page, and return what the file holds.

    Stages that the config's own run, or an earlier call, has finished are not run again. No reranker is trained.

    Args:
        config: of the whole run.
        fractions: shares, ascending.
        say: takes lines for a person.

    Raises:
        InputError: if a share has too few users to learn from, before anything is trained.
    """
    home = RunFolder(Path(config.run.folder))
    run_stages(config, ("ingest",), say)
    users = pq.read_metadata(home.stage("ingest") / "user_ids.parquet").num_rows
    if users * fractions[0] < _FEWEST_USERS:
        raise InputError(
            f"a share of {fractions[0]:g} of {users:,} users is about {users * fractions[0]:.0f} of them, too few to "
            f"learn from; let the smallest of --fractions be at least {math.ceil(100 * _FEWEST_USERS / users) / 100:g}"
        )
    if BASELINE not in config.evaluate.baselines:
        raise InputError(f"evaluate.baselines leaves out {BASELINE}, which the curve is drawn beside; add it there")
    points = []
    for fraction in fractions:
        part = _config_of(config, fraction)
        say(f"--- {fraction:g} of the users -> {part.run.folder}")
        run = RunFolder(Path(part.run.folder))
        run.root.mkdir(parents=True, exist_ok=True)
        taken = take_over(part, run, home)
        if taken:
            say(f"taken over from {home.root}: {', '.join(taken)}")
        run_stages(part, _STAGES, say)
        points.append(_point(fraction, run))
    found = _as_json(config, points)
    write_atomic(home.root / FILE, json.dumps(found, indent=1, ensure_ascii=False))
    write_atomic(home.root / PAGE, render_curve(found))
    return found


def _config_of(config: Config, fraction: float) -> Config:
    return replace(
        config,
        run=replace(config.run, folder=str(Path(config.run.folder) / FOLDER / f"{fraction:g}")),
        prepare=replace(config.prepare, user_share=fraction),
        ranking=replace(config.ranking, enabled=False),
    )


def _point(share: float, run: RunFolder) -> Point:
    prepared = run.stage("prepare")
    histories = Histories.open(prepared / "histories")
    with np.load(prepared / "learned.npz") as learned:
        events = learned["ranker"] - histories.offsets[:-1]
    return Point(share, int((events > 0).sum()), int(events.sum()), Evaluated.open(run.root))


def _as_json(config: Config, points: Sequence[Point]) -> dict[str, Any]:
    metrics = points[-1].run.metrics
    k, confidence = cut_off(metrics), config.evaluate.confidence
    measures = (f"ndcg@{k}", f"recall@{k}")
    draws = enough_draws(len(measures) * (2 * len(points) - 1), confidence)
    against = [_difference(point, BASELINE, point, OURS, measures, draws, config) for point in points]
    grown = [_difference(less, OURS, more, OURS, measures, draws, config) for less, more in pairwise(points)]
    family = iter(corrected([one for found in (*against, *grown) for one in found]))
    rows = [
        {
            "share": point.share,
            "users": point.users,
            "events": point.events,
            "systems": {
                name: {measure: system[measure] for measure in measures}
                for name, system in point.run.metrics["systems"].items()
            },
            f"{OURS} - {BASELINE}": {one.metric: _row(next(family), confidence) for one in found},
        }
        for point, found in zip(points, against, strict=True)
    ]
    return {
        "format": FORMAT,
        **{name: metrics[name] for name in _TERMS},
        "k": k,
        "hardware": machine(),
        "points": rows,
        "growth": [
            {
                "from": less.share,
                "to": more.share,
                "system": OURS,
                **{one.metric: _row(next(family), confidence) for one in found},
            }
            for (less, more), found in zip(pairwise(points), grown, strict=True)
        ],
    }


def _difference(
    first: Point, system: str, second: Point, other: str, measures: Sequence[str], draws: int, config: Config
) -> list[Difference]:
    """Return what ``other`` of the second point has more than ``system`` of the first, on the requests of both."""
    ours, theirs = first.run, second.run
    assert np.array_equal(ours.requests.request_id, theirs.requests.request_id), "shares change no test request"
    return find_differences(
        find(ours.lists(system)[0], ours.relevant),
        find(theirs.lists(other)[0], theirs.relevant),
        ours.requests.user,
        [(name, int(k)) for name, _, k in (measure.partition("@") for measure in measures)],
        [],
        **resampling(config),
        draws=draws,
    )


def _row(found: Difference, confidence: float) -> dict[str, Any]:
    return {
        **{name: round(number, 6) for name, number in found.interval.as_dict().items()},
        "p_holm": found.p_value,
        "verdict": found.verdict(confidence),
    }
