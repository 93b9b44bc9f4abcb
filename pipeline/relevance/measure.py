"""Relevance: every system on the queries that its models never saw, side by side, with paired intervals over queries.

Blend and cuts are fitted for each fold on the other folds' queries, each scored by models that were not trained on it:
stacking, cross-fitted (Breiman 1996; van der Laan et al. 2007). A fold's own grades say nothing there but through the
other folds' models. With fewer than three folds measured, the fold's validation queries have to do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.durable import write_atomic
from commerce.grade_blend import GradeBlend, fit_grade_blend
from commerce.graded import classify, fit_cuts, grade_levels, graded_lists, macro_f1_intervals
from commerce.intervals import Resampling, bootstrap_columns, paired
from commerce.pairs import Pairs, fold_numbers
from commerce.significance import enough_draws, holm, randomisation_test, verdict
from learning.hardware import machine
from pipeline.provenance import versions
from pipeline.relevance.parts import SCORES, part_of
from pipeline.relevance.stages import BASELINES, PAIRS, cross_name, tower_name
from pipeline.resampling import resampling
from pipeline.stage import Outcome, Work

FORMAT = 1
"""Version of ``relevance.json``."""
FILE = "relevance.json"
TOWER, CROSS, FUSED = "tower", "cross_encoder", "fused"
_SYSTEMS = ("random", "word_overlap", "bm25", "zero_shot", TOWER, CROSS, FUSED)
"""Systems, as the table lists them."""
_COMPARISONS = (
    *((ours, baseline) for ours in (TOWER, FUSED) for baseline in ("bm25", "zero_shot")),
    (CROSS, TOWER),
    (FUSED, TOWER),
    (FUSED, CROSS),
)
_FEWEST_TO_CROSS_FIT = 3
"""Folds measured. Some thirty validation queries are few for seven weights: on the CrowdFlower pairs the blend fitted
on them was .002 of NDCG@10 above the tower, fitted across folds .008."""
BLENDED = ("bm25", "word_overlap", "number_overlap", "title_share", "zero_shot", TOWER, CROSS)
"""Scores that the fused one is made of."""


@dataclass(frozen=True)
class Measured:
    """Scores and guesses of every system, from models that never saw the query; NaN and -1 where none was measured."""

    scores: dict[str, NDArray[np.float32]]
    guesses: dict[str, NDArray[np.int64]]
    kept: NDArray[np.bool_]
    """``[pairs]``: those measured."""
    blends: dict[str, GradeBlend]
    """By fold."""

    @property
    def systems(self) -> tuple[str, ...]:
        """Systems that were measured."""
        return tuple(self.guesses)

    @property
    def compared(self) -> list[tuple[str, str]]:
        """Which are set against which."""
        return [both for both in _COMPARISONS if set(both) <= set(self.systems)]


def relevance(work: Work) -> Outcome:
    """Write ``relevance.json`` into the run folder and every system's scores beside the other stages."""
    config = work.config
    pairs = Pairs.read(work.run.stage(PAIRS) / "pairs.parquet")
    folds = fold_numbers(pairs, config.relevance)
    measured = _measure(work, pairs, folds)
    table = pq.read_table(work.run.stage(PAIRS) / "pairs.parquet")
    for name in measured.systems:
        table = table.append_column(name, [measured.scores[name]])
    pq.write_table(table.filter(measured.kept), work.out / "scored.parquet")
    found = _as_json(work, pairs, folds, measured)
    file = work.run.root / FILE
    write_atomic(file, json.dumps(found, indent=1, ensure_ascii=False))
    return Outcome(lines_of(found), published=[file])


def _measure(work: Work, pairs: Pairs, folds: list[int]) -> Measured:
    known = pq.read_table(work.run.stage(BASELINES) / "scores.parquet")
    scores = {name: known[name].to_numpy().copy() for name in known.column_names}
    levels = grade_levels(pairs.grade)
    classes = np.searchsorted(levels, pairs.grade) if levels is not None else None
    trained = {TOWER: tower_name} | ({CROSS: cross_name} if work.config.relevance.cross_encoder else {})
    shown = [name for name in _SYSTEMS if name in (*scores, *trained, FUSED)]
    blended = tuple(name for name in BLENDED if name in (*scores, *trained))
    scores |= {name: np.full(len(pairs), np.nan, dtype=np.float32) for name in (*trained, FUSED)}
    guesses = {name: np.full(len(pairs), -1, dtype=np.int64) for name in shown}
    blends = {}
    parts = {fold: part_of(pairs, str(fold), work.config.relevance.train_share) for fold in folds}
    read = {
        (fold, name): np.load(work.run.stage(stage_of(str(fold))) / SCORES)
        for fold in folds
        for name, stage_of in trained.items()
    }
    for (fold, name), found in read.items():
        scores[name][parts[fold].measured] = found[parts[fold].measured]
    for fold, part in parts.items():
        held = crossed_rows(pairs.fold, folds, fold)
        of_fold = dict(scores)
        if not len(held):
            held, of_fold = part.validated, scores | {name: read[fold, name] for name in trained}
        told = np.stack([of_fold[name] for name in blended], axis=1)
        blend = fit_grade_blend(told[held], pairs.grade[held], pairs.weight[held], pairs.query[held], blended)
        of_fold[FUSED] = blend(told)
        blends[str(fold)] = blend
        scores[FUSED][part.measured] = of_fold[FUSED][part.measured]
        if levels is not None and classes is not None:
            for name in shown:
                cuts = fit_cuts(of_fold[name][held], classes[held], len(levels))
                guesses[name][part.measured] = classify(of_fold[name][part.measured], cuts)
    return Measured(scores, guesses, np.isin(pairs.fold, folds), blends)


def crossed_rows(fold_of: NDArray[np.integer], folds: list[int], fold: int) -> NDArray[np.int64]:
    """Return the rows of the other folds measured, on which a fold's blend is fitted; none where those are too few.

    Args:
        fold_of: ``[pairs]``.
        folds: those measured.
        fold: the one whose blend is fitted.
    """
    if len(folds) < _FEWEST_TO_CROSS_FIT:
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(np.isin(fold_of, folds) & (fold_of != fold))


def _as_json(work: Work, pairs: Pairs, folds: list[int], measured: Measured) -> dict[str, Any]:
    config, k = work.config, work.config.relevance.at
    settings = config.evaluate
    precision = resampling(config)
    lists = graded_lists(pairs.query, pairs.grade, measured.kept, config.run.seed)
    systems: dict[str, dict[str, Any]] = {name: {} for name in measured.systems}
    differences: dict[str, dict[str, Any]] = {f"{one} - {other}": {} for one, other in measured.compared}
    values = {name: lists.ndcg(measured.scores[name], k) for name in measured.systems}
    if len(lists):
        _add_order(f"ndcg@{k}", values, lists.queries, measured.compared, precision, systems, differences)
    levels = grade_levels(pairs.grade)
    if levels is not None:
        kept = measured.kept
        classes = np.searchsorted(levels, pairs.grade[kept])
        guesses = {name: measured.guesses[name][kept] for name in measured.systems}
        each, apart = macro_f1_intervals(
            classes, guesses, pairs.query[kept], len(levels), measured.compared, **precision
        )
        for name, interval in each.items():
            systems[name]["macro_f1"] = interval.as_dict()
        for (one, other), interval in apart.items():
            differences[f"{one} - {other}"]["macro_f1"] = interval.as_dict()
    return {
        "format": FORMAT,
        "dataset": config.run.name,
        "gain": "2 ** grade - 1",
        "folds": folds,
        "pairs": int(measured.kept.sum()),
        "queries": len(np.unique(pairs.query[measured.kept])),
        "queries_with_order": len(lists),
        "left_out_of_ndcg": {"one product": lists.one_product, "products of one grade": lists.one_grade},
        "table": json.loads((work.run.stage(PAIRS) / "summary.json").read_text()),
        "train_share": config.relevance.train_share,
        "encoder": config.text.encoder,
        "start": config.relevance.start,
        "seed": config.run.seed,
        "intervals": {"confidence": settings.confidence, "resamples": settings.bootstrap, "over": "queries"},
        "hardware": machine(),
        "versions": versions("mercato", "torch", "transformers", "bm25s"),
        "systems": systems,
        "paired": differences,
        "by_fold": _by_fold(values, pairs, lists.queries),
        "blend": {fold: blend.as_json() for fold, blend in measured.blends.items()},
    }


def _add_order(
    metric: str,
    values: dict[str, NDArray[np.float64]],
    queries: NDArray[np.int32],
    compared: list[tuple[str, str]],
    precision: Resampling,
    systems: dict[str, dict[str, Any]],
    differences: dict[str, dict[str, Any]],
) -> None:
    """Add each system's mean over queries, and the differences with p-values corrected for their number."""
    stacked = np.stack(list(values.values()), axis=1)
    for name, interval in zip(values, bootstrap_columns(stacked, queries, **precision), strict=True):
        systems[name][metric] = interval.as_dict()
    confidence = precision["confidence"]
    sums = np.stack([values[one] - values[other] for one, other in compared], axis=1)
    draws = enough_draws(len(compared), confidence)
    p_values = holm(randomisation_test(sums, draws=draws, seed=precision["seed"]))
    for (one, other), p in zip(compared, p_values, strict=True):
        interval = paired(values[one], values[other], queries, **precision)
        said = verdict(interval.value, p, confidence)
        differences[f"{one} - {other}"][metric] = {**interval.as_dict(), "p_holm": float(p), "verdict": said}


def _by_fold(
    values: dict[str, NDArray[np.float64]], pairs: Pairs, queries: NDArray[np.int32]
) -> dict[str, dict[str, float]]:
    """Return each system's mean NDCG in each fold that has a query with an order."""
    codes, first = np.unique(pairs.query, return_index=True)
    fold = pairs.fold[first][np.searchsorted(codes, queries)]
    return {
        str(one): {name: round(float(found[fold == one].mean()), 6) for name, found in values.items()}
        for one in np.unique(fold)
    }


def lines_of(found: dict[str, Any]) -> list[str]:
    """Return what a person is told: a line per system and per comparison."""
    left = ", ".join(f"{count:,} with {what}" for what, count in found["left_out_of_ndcg"].items())
    lines = [
        f"{found['dataset']}: {found['pairs']:,} pairs of {found['queries']:,} queries, folds "
        f"{', '.join(map(str, found['folds']))}; NDCG over {found['queries_with_order']:,} queries (left out: {left})"
    ]
    for name, metrics in found["systems"].items():
        told = ", ".join(
            f"{metric} {one['value']:.4f} ({one['low']:.4f}-{one['high']:.4f})" for metric, one in metrics.items()
        )
        lines.append(f"  {name:<14} {told}")
    for name, metrics in found["paired"].items():
        told = ", ".join(
            f"{metric} {one['value']:+.4f} ({one['low']:+.4f} to {one['high']:+.4f})"
            + (f" {one['verdict']}" if "verdict" in one else "")
            for metric, one in metrics.items()
        )
        lines.append(f"  {name}: {told}")
    return lines
