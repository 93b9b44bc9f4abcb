"""One reranker of the front: what it would cost, its training, and its scores; what is finished is not done again."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from commerce.durable import replace_folder, write_atomic
from commerce.records import Requests
from configs.schema import Config
from learning.hardware import working_device
from pipeline.front_grid import config_of
from pipeline.ranker_lists import Training, write_training
from pipeline.ranker_training import build_ranker, expected_cost, fit_ranker, speed_of
from pipeline.ranking_inputs import MAIN, RankingInputs, actions_of, candidates_file, filters_seen, relevant_of
from ranking.batches import Examples
from ranking.cost import Cost, Speed
from ranking.front import Point, Shape
from ranking.gate import CUT, Judged
from ranking.lists import Lists
from ranking.module import Ranker
from ranking.rerank import score_lists


@dataclass(frozen=True)
class Bench:
    """What all rerankers of the front are trained and measured on: read once, the same for each."""

    config: Config
    inputs: RankingInputs
    folder: Path
    """For what is finished; of this very work."""
    depth: int
    """The greatest."""

    @cached_property
    def training(self) -> Training:
        """Return the lists that are trained on, written once."""
        return write_training(self.inputs, self.config, self.folder / "lists")

    @property
    def examples(self) -> Examples:
        """Return what is told of them."""
        return self.training.examples

    @cached_property
    def requests(self) -> Requests:
        """Return the requests of the ``fit`` half that orders are measured on."""
        return self.inputs.judged(
            "fit",
            self.config.ranking.fit_users,
            self.config.run.seed,
            new_items=filters_seen(self.config, MAIN),
            actions=actions_of(self.config),
        )

    @cached_property
    def lists(self) -> Lists:
        """Return their candidates."""
        return self.inputs.lists(candidates_file("validation", MAIN), self.requests, max(self.depth, CUT))

    @cached_property
    def asked(self) -> Examples:
        """Return what is told of their first candidates, down to the greatest depth."""
        return self.inputs.examples("validation", self.requests, self.lists.first(self.depth), label="fit")

    def judged(self, read: NDArray[np.float32], depth: int) -> Judged:
        """Return the lists with the first ``depth`` of a reranker's scores."""
        lists = self.lists
        return Judged(lists.items, lists.scores, read[:, :depth], relevant_of(self.requests), self.requests.user)


def point_costs(bench: Bench, shape: Shape, depths: tuple[int, ...]) -> dict[Point, Cost]:
    """Return what ``train-ranker`` and ``rank`` would cost with each depth.

    The speed is measured anew until the ranker is trained, and the fastest that was ever seen counts: a point that was
    refused in a busy hour is not refused for ever.
    """
    note = bench.folder / f"{_name(shape)}.speed.json"
    known = Speed(**json.loads(note.read_text())) if note.is_file() else None
    ranker = build_ranker(bench.inputs, config_of(bench.config, Point(*shape, 1)), bench.examples, bench.training)
    if known is None or not (bench.folder / _name(shape) / "shape.json").is_file():
        known = _faster(known, speed_of(ranker, bench.config, bench.examples, bench.training))
        write_atomic(note, json.dumps(asdict(known)))
    costs = {}
    for point in (Point(*shape, depth) for depth in depths):
        costs[point] = expected_cost(ranker, bench.inputs, config_of(bench.config, point), bench.examples, known)
    return costs


def _faster(known: Speed | None, now: Speed) -> Speed:
    if known is None:
        return now
    # A note from before numbers were timed says 0.
    numbers = min(known.numbers or now.numbers, now.numbers)
    return Speed(max(known.reading, now.reading), max(known.training, now.training), numbers)


def is_measured(bench: Bench, shape: Shape, depth: int) -> bool:
    """Return whether a reranker is trained and its scores go down to ``depth``, or it has collapsed."""
    note = bench.folder / _name(shape) / "shape.json"
    if not note.is_file():
        return False
    found = json.loads(note.read_text())
    return bool(found["collapsed"]) or found["depth"] >= depth


def measure_shape(bench: Bench, shape: Shape, depth: int) -> str:
    """Train a reranker, unless it is trained, and score the ``fit`` requests down to ``depth``.

    Returns: why the training was stopped as degenerate; empty where it was not.
    """
    folder, temporary = bench.folder / _name(shape), bench.folder / f".{_name(shape)}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    if (folder / "shape.json").is_file():
        shutil.copytree(folder, temporary)
        collapsed = collapse_of(bench, shape)
    else:
        temporary.mkdir(parents=True)
        config = config_of(bench.config, Point(*shape, depth))
        ranker = build_ranker(bench.inputs, config, bench.examples, bench.training)
        scratch = bench.folder / f"{_name(shape)}.training"
        scratch.mkdir(exist_ok=True)
        collapsed = fit_ranker(ranker, config, bench.examples, bench.training, temporary, scratch)
    if not collapsed:
        np.save(temporary / "read.npy", _score(bench, _load(temporary), shape, depth))
    (temporary / "shape.json").write_text(json.dumps({"collapsed": collapsed, "depth": depth}))
    replace_folder(temporary, folder)
    shutil.rmtree(bench.folder / f"{_name(shape)}.training", ignore_errors=True)
    return collapsed


def load_scores(bench: Bench, shape: Shape) -> NDArray[np.float32]:
    """Return a measured reranker's scores of the ``fit`` requests, ``[requests, depth]``."""
    scores: NDArray[np.float32] = np.load(bench.folder / _name(shape) / "read.npy")
    return scores


def load_ranker(bench: Bench, shape: Shape) -> Ranker:
    """Return a measured reranker, on the device that scores."""
    return _load(bench.folder / _name(shape))


def collapse_of(bench: Bench, shape: Shape) -> str:
    """Return why a measured reranker's training was stopped; empty where it was not."""
    return str(json.loads((bench.folder / _name(shape) / "shape.json").read_text())["collapsed"])


def _load(folder: Path) -> Ranker:
    return Ranker.load_from_checkpoint(folder / "ranker.ckpt", map_location="cpu").to(working_device())


def _score(bench: Bench, ranker: Ranker, shape: Shape, depth: int) -> NDArray[np.float32]:
    asked, ranking = bench.asked, bench.config.ranking
    first = Examples(asked.items[:, :depth], asked.features[:, :depth], asked.intent, asked.contexts, asked.item_tokens)
    return score_lists(
        ranker, first, tokens_per_batch=ranking.tokens_per_batch, precision=ranking.precision, label=_name(shape)
    )


def _name(shape: Shape) -> str:
    return f"{shape.attention}-{shape.layers}"
