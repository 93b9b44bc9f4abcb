"""``mercato front``: which depth, layers and attention should the reranker have? Quality and cost of a grid, measured.

For every (attention, layers) a ranker is trained once, by the code and on the lists of ``train-ranker``, and scores the
``fit`` half of validation once, at the greatest depth; a smaller depth reads the first of these scores. Each point's
weight is chosen on ``fit`` as the gate chooses it. What a request costs is timed on this machine, all points in turn in
every round, so that a busy minute hits them alike. The cheapest point that is as good as the best on ``fit`` is chosen
(``ranking.front``), and that one alone is asked before the gate. Nothing is set: the settings to write are printed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from commerce.durable import write_atomic
from configs.errors import InputError
from configs.schema import Config
from learning.hardware import machine, working_device
from pipeline.front_file import FRONT_FILE, Found, write_front
from pipeline.front_grid import Asked, Grid, config_of, read_grid
from pipeline.front_shapes import (
    Bench,
    collapse_of,
    is_measured,
    load_ranker,
    load_scores,
    measure_shape,
    point_costs,
)
from pipeline.ranking_inputs import MAIN, RankingInputs, encoder_path, filters_seen
from pipeline.report.ranker_choice import words
from pipeline.resampling import resampling
from pipeline.run_folder import RunFolder
from pipeline.run_stages import run_stages
from pipeline.stage import NAMES, Stage
from pipeline.stage_key import settings_of, stage_key
from pipeline.train_ranker import NOTHING_TO_LEARN, judge_half
from ranking.cost import Cost
from ranking.front import BLENDED, Point, Shape, choose_point
from ranking.gate import Verdict, choose_weight, judge
from ranking.request_cost import RequestCost, first_candidates, median_cost, time_requests

TIMED_REQUESTS, ROUNDS = 10, 5
"""Requests that are scored one by one in a round, and rounds: a point's cost is the median over these."""
_PLAIN: dict[str, Any] = {"attention": "context_once", "depth": 1}
"""Settings that a point does not take from the config, beside ``layers``, and what they are for the key of the work."""
_STAGES = NAMES[: NAMES.index("retrieve") + 1]
_MEASURED = Stage(
    "front",
    ("ranking", "text", "evaluate.filter_seen", "evaluate.targets", "prepare.targets", "retrieval.sources", "run.seed"),
    FRONT_FILE.inputs,
)


def measure_front(config: Config, asked: Asked, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the grid, choose, write ``front.json`` into the run folder and return what it holds.

    Stages up to ``retrieve`` are run where they are not up to date. What an earlier call, or one that was cut off, has
    trained on the same files and settings is taken as it is.

    Args:
        config: of the whole run.
        asked: grid that the command asks for.
        say: takes lines for a person.

    Raises:
        InputError: if the grid is impossible, there is nothing to train or measure on, or every point is too costly.
    """
    run_stages(config, _STAGES, say)
    run = RunFolder(Path(config.run.folder))
    grid, left_out = read_grid(asked, config, encoder_path(run, config))
    for line in left_out:
        say(line)
    scratch = run.scratch("front", _key(config, run))
    bench = Bench(config, RankingInputs.open(run, config), scratch, max(grid.depths))
    say(bench.training.counted)
    _check_lists(bench)
    allowed, refused = _refuse(bench, grid, say)
    points, collapsed = _measure_all(bench, allowed, say)
    weights, ndcg = _qualities(bench, points)
    costs = {BLENDED: RequestCost(0.0, 0.0, 0.0)} | _request_costs(bench, points, say)
    front = choose_point(
        ndcg,
        {point: _compared(cost) for point, cost in costs.items()},
        bench.requests.user,
        **resampling(config),
    )
    verdict = None if front.choice == BLENDED else _ask_gate(bench, front.choice, weights[front.choice])
    return write_front(run, _terms(bench), Found(front, weights, costs, refused, collapsed, verdict))


def _key(config: Config, run: RunFolder) -> str:
    """Return the hash of what decides what a point would measure, whatever the config's own point is."""
    ranking = replace(config.ranking, **_PLAIN, layers=config.ranking.frozen_layers + 1)
    return stage_key(_MEASURED, replace(config, ranking=ranking), run)


def _check_lists(bench: Bench) -> None:
    if not len(bench.training):
        raise InputError(f"there is nothing to train a reranker on: {NOTHING_TO_LEARN}; look at what retrieve found")
    if not len(bench.requests):
        raise InputError("the fit half of validation holds no request to measure on; raise prepare.validation_days")


def _refuse(bench: Bench, grid: Grid, say: Callable[[str], None]) -> tuple[list[Point], dict[Point, Cost]]:
    """Say what each point would cost in the pipeline; return those that are allowed, and those that are not.

    Raises:
        InputError: if none is allowed.
    """
    limit = bench.config.ranking.max_minutes
    costs: dict[Point, Cost] = {}
    for shape in grid.shapes:
        found = point_costs(bench, shape, grid.depths)
        said = [f"{cost.minutes:.1f}{'' if cost.minutes <= limit else ' (refused)'}" for cost in found.values()]
        depths = ", ".join(map(str, grid.depths))
        say(f"{words(shape)}: train-ranker and rank would take {', '.join(said)} min at depth {depths}")
        costs |= found
    allowed = [point for point, cost in costs.items() if cost.minutes <= limit]
    if not allowed:
        raise InputError(
            f"every point of the grid would take more than ranking.max_minutes={limit:g}, the cheapest "
            f"{min(cost.minutes for cost in costs.values()):.2f}; raise ranking.max_minutes, or lower "
            "ranking.train_requests, ranking.gate_users or --depths"
        )
    deepest = {point.shape: point for point in allowed}
    left = [costs[point] for shape, point in deepest.items() if not is_measured(bench, shape, point.depth)]
    ahead = [Cost({part: cost.tokens[part] for part in ("training", "fit")}, cost.speed) for cost in left]
    minutes = sum(cost.minutes for cost in ahead)
    say(f"the front itself: {len(ahead)} trainings and their scores on fit, about {minutes:.1f} min, then the timing")
    return allowed, {point: cost for point, cost in costs.items() if point not in allowed}


def _measure_all(
    bench: Bench, allowed: Sequence[Point], say: Callable[[str], None]
) -> tuple[list[Point], dict[Shape, str]]:
    """Train and score whatever is not yet; return the points to compare, and which rankers collapsed and why.

    Raises:
        InputError: if all of them did.
    """
    collapsed = {}
    for shape, depth in {point.shape: point.depth for point in allowed}.items():  # the last depth is the greatest
        if is_measured(bench, shape, depth):
            say(f"{words(shape)}: measured before, taken as it is")
        else:
            say(f"--- {words(shape)}")
            measure_shape(bench, shape, depth)
        why = collapse_of(bench, shape)
        if why:
            say(why)
            collapsed[shape] = why
    points = [point for point in allowed if point.shape not in collapsed]
    if not points:
        raise InputError(f"no ranker of the grid learned an order: {'; '.join(collapsed.values())}")
    return points, collapsed


def _qualities(bench: Bench, points: Sequence[Point]) -> tuple[dict[Point, float], dict[Point, NDArray[np.float64]]]:
    """Return each point's weight, and its NDCG per request with it; those of the blended order too."""
    weights, ndcg = {BLENDED: 0.0}, {}
    for point in points:
        judged = bench.judged(load_scores(bench, point.shape), point.depth)
        weights[point], _ = choose_weight(judged)
        ndcg[point] = judged.ndcg(weights[point])
    ndcg[BLENDED] = judged.ndcg(0.0)
    return weights, ndcg


def _request_costs(bench: Bench, points: Sequence[Point], say: Callable[[str], None]) -> dict[Point, RequestCost]:
    """Time each point, all in turn in every round; what was timed on this very machine is not timed again."""
    note, timed_on = bench.folder / "request_cost.json", f"{machine()}, {torch.get_num_threads()} threads"
    known = json.loads(note.read_text()) if note.is_file() else {}
    if known.get("machine") == timed_on and {"-".join(map(str, point)) for point in points} <= set(known["costs"]):
        return {point: RequestCost(**known["costs"]["-".join(map(str, point))]) for point in points}
    rows = _timed_rows(bench)
    say(f"timing {len(points)} points on {len(rows)} requests, one by one, {ROUNDS} rounds")
    rounds: dict[Point, list[RequestCost]] = {point: [] for point in points}
    for _ in range(ROUNDS):
        for shape in dict.fromkeys(point.shape for point in points):
            ranker = load_ranker(bench, shape)
            for point in (point for point in points if point.shape == shape):
                requests = [first_candidates(bench.asked, int(row), point.depth) for row in rows]
                rounds[point].append(
                    time_requests(ranker, requests, tokens_per_batch=bench.config.ranking.tokens_per_batch)
                )
    costs = {point: median_cost(found) for point, found in rounds.items()}
    told = {"-".join(map(str, point)): asdict(cost) for point, cost in costs.items()}
    write_atomic(note, json.dumps({"machine": timed_on, "costs": told}))
    return costs


def _timed_rows(bench: Bench) -> NDArray[np.int64]:
    """Return the requests that are timed: of those with the longest lists, evenly over them all."""
    counts = bench.asked.candidates
    longest = np.flatnonzero(counts == counts.max())
    return longest[np.linspace(0, len(longest) - 1, min(TIMED_REQUESTS, len(longest)), dtype=np.int64)]


def _compared(cost: RequestCost) -> float:
    """Return what points are compared by: processor time, which other processes do not lengthen, where there is one."""
    return cost.processor_seconds if working_device() == "cpu" else cost.seconds


def _ask_gate(bench: Bench, point: Point, weight: float) -> Verdict:
    """Judge the chosen point on the half that nothing was chosen on."""
    config = config_of(bench.config, point)
    ranker = load_ranker(bench, point.shape)
    gate, _ = judge_half(MAIN, "gate", config.ranking.gate_users, ranker, bench.inputs, config)
    return judge(gate, weight, **resampling(config))


def _terms(bench: Bench) -> dict[str, Any]:
    """Return on which terms the front was measured."""
    config, device = bench.config, working_device()
    ranking = settings_of(_MEASURED, config)["ranking"]
    settings = {name: value for name, value in ranking.items() if name not in {*_PLAIN, "layers"}}
    return {
        "dataset": config.run.name,
        "protocol": MAIN,
        "filter_seen": filters_seen(config, MAIN),
        "settings": settings,
        "lists": bench.training.counted,
        "requests": len(bench.requests),
        "users": len(np.unique(bench.requests.user)),
        "seed": config.run.seed,
        "intervals": {"confidence": config.evaluate.confidence, "resamples": config.evaluate.bootstrap},
        "hardware": machine(),
        "threads": torch.get_num_threads(),
        "device": device,
        "timed": {"requests": len(_timed_rows(bench)), "rounds": ROUNDS, "precision": "fp32"},
        "compared_by": "processor_ms" if device == "cpu" else "ms",
        "max_minutes": config.ranking.max_minutes,
    }
