"""Which pairs a fold's models are trained, validated and measured on, and what both trainings share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from commerce.graded import graded_lists
from commerce.pairs import Pairs
from configs.errors import InputError
from configs.schema import RelevanceConfig
from learning.encoder_folder import EncoderFolder
from learning.graded_training import GradedPairs, Pace, PairScorer, train_graded
from learning.interpolation import go_part_way
from learning.language_model import TextEncoder, load_text_encoder
from pipeline.encoders import write_tuned
from pipeline.relevance.stages import FINAL
from pipeline.stage import Outcome, Work

SCORES, CURVE, ENCODER = "scores.npy", "curve.json", "encoder"
_FEWEST_QUERIES = 1


@dataclass(frozen=True)
class Part:
    """Rows of the pairs; each is int64 and ascending."""

    pairs: Pairs
    trained: NDArray[np.int64]
    validated: NDArray[np.int64]
    measured: NDArray[np.int64]
    """Empty for the final training."""

    @property
    def scored(self) -> NDArray[np.int64]:
        """Rows that the trained model scores."""
        return np.concatenate([self.validated, self.measured])


def part_of(pairs: Pairs, fold: str, share: float) -> Part:
    """Return the pairs of a fold (``final`` for none), or of the share of the other folds' queries.

    Raises:
        InputError: if too few queries are left to train or validate on.
    """
    other = np.full(len(pairs), True) if fold == FINAL else pairs.fold != int(fold)
    known = other & (pairs.drawn < share)
    held = known & pairs.held_out
    if known.any() and not held.any():  # a share of a few queries: the last of them is held out
        held = known & (pairs.drawn == pairs.drawn[known].max())
    trained, validated = np.flatnonzero(known & ~held), np.flatnonzero(held)
    for name, rows in (("train", trained), ("validate", validated)):
        queries = len(np.unique(pairs.query[rows]))
        if queries < _FEWEST_QUERIES:
            raise InputError(
                f"fold {fold}: {queries} queries are left to {name} on, and at least {_FEWEST_QUERIES} are needed; "
                "give more queries, or change relevance.folds, relevance.validation_share or relevance.train_share"
            )
    return Part(pairs, trained, validated, np.flatnonzero(~other))


def open_part(work: Work, fold: str) -> Part:
    """Return a fold's part of the run's pairs."""
    return part_of(Pairs.read(work.run.stage("pairs") / "pairs.parquet"), fold, work.config.relevance.train_share)


def judge_of(part: Part, k: int, seed: int) -> Callable[[NDArray[np.float32]], float]:
    """Return what tells epochs apart: NDCG@k of the validation queries.

    Where none of them has an order, the correlation of scores and grades over all validation pairs takes its place.
    """
    pairs, kept = part.pairs, np.zeros(len(part.pairs), dtype=bool)
    kept[part.validated] = True
    lists = graded_lists(pairs.query, pairs.grade, kept, seed)

    def judge(scores: NDArray[np.float32]) -> float:
        if not len(lists):
            spread = float(np.std(scores)) * float(np.std(pairs.grade[part.validated]))
            return float(np.corrcoef(scores, pairs.grade[part.validated])[0, 1]) if spread > 0 else 0.0
        whole = np.zeros(len(pairs), dtype=np.float32)
        whole[part.validated] = scores
        return float(lists.ndcg(whole, k).mean())

    return judge


def pace_of(settings: RelevanceConfig, seed: int, *, cross: bool) -> Pace:
    """Return how the tower's training goes, or the cross-encoder's."""
    return Pace(
        epochs=settings.cross_epochs if cross else settings.tower_epochs,
        list_products=settings.list_products,
        batch_lists=settings.batch_lists,
        learning_rate=settings.cross_learning_rate if cross else settings.tower_learning_rate,
        rates={},
        weight_decay=settings.weight_decay,
        average=settings.average,
        precision=settings.precision,
        seed=seed,
        setting="relevance.cross_learning_rate" if cross else "relevance.tower_learning_rate",
    )


def start_encoder(folder: EncoderFolder, start: str, seed: int) -> TextEncoder:
    """Return the encoder with its weights, or with random ones of the same shape (``start: random``)."""
    if start == "pretrained":
        return load_text_encoder(folder)
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(seed)
    build: Any = AutoModel.from_config
    return TextEncoder(build(AutoConfig.from_pretrained(str(folder.path))), folder.pooling).eval()


def fit(
    work: Work,
    part: Part,
    scorer: PairScorer,
    folder: EncoderFolder,
    *,
    cross: bool,
    rates: Mapping[str, float],
    way: float = 1.0,
    answer: Callable[[NDArray[np.int64]], NDArray[np.float32]] | None = None,
) -> Outcome:
    """Train a scorer on its part; write its encoder as a folder that others take, its scores and its curve.

    Args:
        work: of the stage.
        part: what is trained, validated and measured on.
        scorer: with the weights to start from; it has an ``encoder``.
        folder: where its encoder came from.
        cross: whether it is the cross-encoder, which has settings of its own.
        rates: prefix of parameter names -> their own peak rate.
        way: share of the way from the first to the trained weights of its encoder that is kept.
        answer: rows -> their scores once it is trained; none: as it scores them while it is trained.
    """
    first = {name: weight.clone() for name, weight in scorer.encoder.state_dict().items()} if way < 1 else {}
    settings, seed, pairs = work.config.relevance, work.config.run.seed, part.pairs
    data = GradedPairs(pairs.query, pairs.grade, pairs.weight, part.trained, part.validated)
    pace = replace(pace_of(settings, seed, cross=cross), rates=rates)
    curve = train_graded(scorer, data, judge_of(part, settings.at, seed), pace, work.scratch())
    if first:
        go_part_way(scorer.encoder, first, way)
    whole = np.full(len(pairs), np.nan, dtype=np.float32)
    whole[part.scored] = answer(part.scored) if answer else scorer.score(part.scored, settings.precision)
    np.save(work.out / SCORES, whole)
    (work.out / CURVE).write_text(json.dumps(curve, indent=1))
    write_tuned(scorer.encoder, folder, work.out / ENCODER)
    return Outcome([_curve_line(work.name, part, curve, settings.at)])


def _curve_line(name: str, part: Part, curve: list[dict[str, float]], k: int) -> str:
    """Say in a line how a training went."""
    best = max(curve, key=lambda row: row["validation"])
    epochs = ", ".join(f"{row['validation']:.4f}" for row in curve)
    queries = len(np.unique(part.pairs.query[part.trained]))
    held = len(np.unique(part.pairs.query[part.validated]))
    return (
        f"{name}: trained on {len(part.trained):,} pairs of {queries:,} queries; NDCG@{k} of {held:,} validation "
        f"queries by epoch {epochs}; epoch {int(best['epoch']) + 1} is kept"
    )
