"""``mercato teach``: let a run's reranker teach its towers, in a run of its own below, and say what that was worth.

The run's own models are never touched: the taught ones are a whole run in ``RUN/taught``, from towers to bundle if it
is wanted, so each folder holds models that belong together. ``RUN/teaching.json`` has the gain: the towers alone,
before and after, on the ``gate`` half of validation and on test, and the shipped order on test, paired by request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.durable import write_atomic
from commerce.histories import Histories
from commerce.intervals import bootstrap, paired
from commerce.metrics import Relevant, find, ndcg
from commerce.records import Requests
from configs.schema import Config
from learning.hardware import machine
from pipeline.asked import WINDOW, Evaluated
from pipeline.ranking_inputs import relevant_of, without_seen
from pipeline.resampling import resampling
from pipeline.run_folder import RunFolder
from pipeline.run_stages import run_stages
from pipeline.stage import NAMES
from pipeline.systems import Terms, rank_vectors
from pipeline.takeover import take_over
from pipeline.teacher import open_gate
from pipeline.train_towers import SUMMARY

FORMAT = 1
"""Version of ``teaching.json``."""
FOLDER, CONTROL, FILE = "taught", "untaught", "teaching.json"
CUT = 10
"""The gain is NDCG@10."""
_TO_GATE = NAMES[: NAMES.index("train-ranker") + 1]
_TO_TOWERS = NAMES[: NAMES.index("embed") + 1]
_TO_EVALUATE = NAMES[: NAMES.index("evaluate") + 1]


def teach(config: Config, control: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the config, then once more with towers that its reranker taught; return what ``teaching.json`` then holds.

    What the config's own run, or an earlier call, has finished is not run again.

    Args:
        config: of the whole run.
        control: whether the towers also refine once without the teacher, in a run that ends with their vectors.
        say: takes lines for a person.

    Raises:
        InputError: if the gate is closed or no reranker was trained; nothing is then taught.
    """
    home = RunFolder(Path(config.run.folder))
    run_stages(config, _TO_GATE, say)
    open_gate(home, config)
    run_stages(config, _TO_EVALUATE, say)
    taught = _pupil(config, FOLDER, config.towers.teaching)
    run = _run(taught, home, ("train-towers",), say)
    teaching = _teaching(run)
    found: dict[str, Any] = {"format": FORMAT, "taught": str(run.root), **teaching}
    if teaching["kept"]:
        run_stages(taught, _TO_EVALUATE, say)
        rows = [
            *_towers(config, home, run, "taught"),
            _shipped(config, Evaluated.open(home.root), Evaluated.open(run.root)),
        ]
        if control:
            rows += _towers(
                config, home, _run(_pupil(config, CONTROL, 0.0), home, _TO_TOWERS, say), "refined without a teacher"
            )
        gates = {name: _gate(one) for name, one in (("before", home), ("taught", run))}
        found |= {"cut": CUT, "seed": config.run.seed, "hardware": machine(), "gains": rows, "gates": gates}
    write_atomic(home.root / FILE, json.dumps(found, indent=1, ensure_ascii=False))
    return found


def teaching_lines(found: dict[str, Any]) -> list[str]:
    """Return what a person reads of ``teaching.json``."""
    fit = found["fit_ndcg@10"]
    told = f"NDCG@{CUT} of the towers on fit: {fit['before']:.4f} before, {fit['after']:.4f} taught"
    if not found["kept"]:
        return [f"{told}; the taught towers are worse and not kept, so nothing else was run"]
    gates = [
        f"  gate {name}: {'open' if gate['shipped'] else 'closed'}: {gate['reason']}"
        for name, gate in found["gates"].items()
    ]
    return [told, *map(_line, found["gains"]), *gates]


def _line(row: dict[str, Any]) -> str:
    values, apart = (row[side]["value"] for side in ("before", "after")), row["difference"]
    return (
        f"  {row['what']}: {row['system']} on {row['requests']:,} {row['window']} requests "
        f"{' -> '.join(f'{value:.4f}' for value in values)}, "
        f"{apart['value']:+.4f} [{apart['low']:+.4f}, {apart['high']:+.4f}]"
    )


def _pupil(config: Config, name: str, weight: float) -> Config:
    towers = replace(config.towers, teacher=config.run.folder, teaching=weight)
    return replace(config, run=replace(config.run, folder=str(Path(config.run.folder) / name)), towers=towers)


def _run(config: Config, home: RunFolder, stages: Sequence[str], say: Callable[[str], None]) -> RunFolder:
    run = RunFolder(Path(config.run.folder))
    run.root.mkdir(parents=True, exist_ok=True)
    say(f"--- {run.root}")
    taken = take_over(config, run, home)
    if taken:
        say(f"taken over from {home.root}: {', '.join(taken)}")
    run_stages(config, stages, say)
    return run


def _teaching(run: RunFolder) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((run.stage("train-towers") / SUMMARY).read_text())["teaching"]
    return summary


def _gate(run: RunFolder) -> dict[str, Any]:
    """Return whether a run's reranker ships, and why: the shipped order is compared across two gates."""
    gate = json.loads((run.stage("train-ranker") / "gate.json").read_text())
    return {name: gate[name] for name in ("shipped", "reason", "weight")}


def _towers(config: Config, home: RunFolder, run: RunFolder, what: str) -> list[dict[str, Any]]:
    """Return how the towers alone rank for both windows, before and after."""
    return [_gain(config, what, "towers", window, *asked, home, run) for window, asked in _asked(config, home)]


def _asked(config: Config, home: RunFolder) -> list[tuple[str, tuple[Requests, Relevant, Histories]]]:
    """Return the requests that decided nothing: of the ``gate`` half, and those that ``evaluate`` measured."""
    measured = Evaluated.open(home.root)
    gate = Requests.read(home.stage("prepare") / "requests.parquet").of("validation", "gate")
    if config.evaluate.filter_seen:
        gate = without_seen(gate, measured.histories, list(measured.metrics["targets"]))
    windows = [(WINDOW, (measured.requests, measured.relevant, measured.histories))]
    return ([("gate", (gate, relevant_of(gate), measured.histories))] if len(gate) else []) + windows


def _gain(
    config: Config,
    what: str,
    system: str,
    window: str,
    requests: Requests,
    relevant: Relevant,
    histories: Histories,
    home: RunFolder,
    run: RunFolder,
) -> dict[str, Any]:
    with np.load(home.stage("prepare") / "availability.npz") as availability:
        since, until = availability["from"], availability["until"]
    seen_by = tuple(config.evaluate.targets or config.prepare.targets) if config.evaluate.filter_seen else ()
    terms = Terms(requests, histories, since, until, seen_by, CUT)
    before, after = (ndcg(find(_ranked(one, terms, window), relevant), CUT) for one in (home, run))
    return _row(config, what, system, window, before, after, requests.user)


def _ranked(run: RunFolder, terms: Terms, window: str) -> NDArray[np.int32]:
    """Return the towers' lists, as ``evaluate`` makes them."""
    embedded, name = run.stage("embed"), "validation" if window == "gate" else window
    whole = Requests.read(run.stage("prepare") / "requests.parquet").of(name).request_id
    users = np.load(embedded / f"users_{name}.npy", mmap_mode="r")
    rows = np.searchsorted(whole, terms.requests.request_id)
    return rank_vectors(terms, np.load(embedded / "item_vectors.npy", mmap_mode="r"), users[rows])[0]


def _shipped(config: Config, before: Evaluated, after: Evaluated) -> dict[str, Any]:
    """Return how the shipped order ranks on test, before and after."""
    ours, theirs = (ndcg(find(run.lists("mercato")[0], run.relevant), CUT) for run in (before, after))
    return _row(config, "taught", "mercato", WINDOW, ours, theirs, before.requests.user)


def _row(
    config: Config,
    what: str,
    system: str,
    window: str,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    users: NDArray[np.int32],
) -> dict[str, Any]:
    options = resampling(config)
    return {
        "what": what,
        "system": system,
        "window": window,
        "requests": len(users),
        "users": len(np.unique(users)),
        "before": bootstrap(before, users, **options).as_dict(),
        "after": bootstrap(after, users, **options).as_dict(),
        "difference": paired(after, before, users, **options).as_dict(),
    }
