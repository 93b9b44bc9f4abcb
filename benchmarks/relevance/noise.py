"""What typos, another order of words and look-alike scripts do to search relevance.

    mercato relevance configs/search_relevance.yaml
    python benchmarks/relevance/noise.py configs/search_relevance.yaml [key=value ...] [--strength .3]

Scores the measured pairs of a finished run again with noise in the queries, and with noise in the products' texts, by
the models that never saw the query. Words are matched anew; weights of the fused score are those fitted on clean texts.
Prints NDCG@10 of each system, as texts are and with the paired difference under noise, over queries; writes
RUN/noise.json.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from commerce.durable import write_atomic
from commerce.grade_blend import GradeBlend, fit_grade_blend
from commerce.graded import graded_lists
from commerce.intervals import bootstrap, paired
from commerce.noise import KINDS, noised
from commerce.pairs import Pairs, fold_numbers
from configs.load import load_config
from configs.schema import Config, TextConfig
from learning.encoder_folder import open_encoder
from learning.hardware import machine
from learning.language_model import load_text_encoder
from pipeline.limits import limit_process
from pipeline.provenance import versions
from pipeline.relevance.answers import Products, folder_answers
from pipeline.relevance.cross import HEAD_FILE, cross_on
from pipeline.relevance.measure import BLENDED, CROSS, FUSED, TOWER, crossed_rows
from pipeline.relevance.parts import ENCODER
from pipeline.relevance.stages import PAIRS, cross_name, tower_name
from pipeline.relevance.tower import tower_on
from pipeline.resampling import resampling
from pipeline.run_folder import RunFolder
from retrieval.word_match import WORD_FEATURES, word_features

SYSTEMS = ("word_overlap", "bm25", "zero_shot", TOWER, CROSS, FUSED)
Scores = dict[str, NDArray[np.float32]]


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("config")
    arguments.add_argument("overrides", nargs="*")
    arguments.add_argument("--strength", type=float, default=0.3, help="chance of a word to be changed")
    told = arguments.parse_args()
    config = load_config(told.config, told.overrides)
    limit_process(config.run.threads)
    run = RunFolder(Path(config.run.folder), "relevance")
    pairs = Pairs.read(run.stage(PAIRS) / "pairs.parquet")
    folds = fold_numbers(pairs, config.relevance)
    read = _score(run, config, pairs, folds)
    blends = _blends(pairs, folds, read)
    lists = graded_lists(pairs.query, pairs.grade, np.isin(pairs.fold, folds), config.run.seed)
    clean = _ndcg(pairs, folds, read, blends, lists, config)
    options = resampling(config)
    rows: list[dict[str, Any]] = []
    for kind in KINDS:
        change = partial(noised, kind=kind, strength=told.strength, seed=config.run.seed)
        for where, other in (("queries", _in_queries(pairs, change)), ("products", _in_products(pairs, change))):
            noisy = _ndcg(other, folds, _score(run, config, other, folds), blends, lists, config)
            apart = {name: paired(noisy[name], clean[name], lists.queries, **options).as_dict() for name in SYSTEMS}
            rows.append({"noise": kind, "where": where, "difference": apart})
            print(f"{kind:<7}{where:<9}" + "".join(f"{name} {_said(one)}  " for name, one in apart.items()), flush=True)
    found = {
        "strength": told.strength,
        "queries": len(lists),
        "clean": {name: bootstrap(clean[name], lists.queries, **options).as_dict() for name in SYSTEMS},
        "rows": rows,
        "hardware": machine(),
        "versions": versions("mercato", "torch", "transformers"),
    }
    print("as texts are: " + ", ".join(f"{name} {one['value']:.4f}" for name, one in found["clean"].items()))
    write_atomic(run.root / "noise.json", json.dumps(found, indent=1))


def _in_queries(pairs: Pairs, change: Any) -> Pairs:
    return replace(pairs, queries=[change(text) for text in pairs.queries])


def _in_products(pairs: Pairs, change: Any) -> Pairs:
    texts = {name: [change(text) for text in getattr(pairs, name)] for name in ("tower_text", "cross_text")}
    return replace(pairs, **texts)


def _score(run: RunFolder, config: Config, pairs: Pairs, folds: list[int]) -> Scores:
    """Return what each part of the fused score says of the measured pairs, ``[pairs]``; NaN elsewhere."""
    settings, precision, products = config.relevance, config.relevance.precision, Products.of(pairs)
    words = word_features(pairs.query, pairs.queries, pairs.tower_text)
    scores: Scores = {name: words[:, place] for place, name in enumerate(WORD_FEATURES)}
    scores |= {name: np.full(len(pairs), np.nan, dtype=np.float32) for name in ("zero_shot", TOWER, CROSS)}
    folder = open_encoder(TextConfig(encoder=config.text.encoder, max_tokens=settings.tower_tokens))
    measured = np.flatnonzero(np.isin(pairs.fold, folds))
    untuned = tower_on(pairs, load_text_encoder(folder), folder, settings)
    scores["zero_shot"][measured] = untuned.score(measured, precision)
    for fold in folds:
        rows = np.flatnonzero(pairs.fold == fold)
        tuned = replace(config.text, encoder=str(run.stage(tower_name(str(fold))) / ENCODER))
        asked, known = folder_answers(products, pairs.queries, tuned, settings)
        scores[TOWER][rows] = (asked[pairs.query[rows]] * known[products.place[rows]]).sum(axis=1)
        stage = run.stage(cross_name(str(fold)))
        folder = open_encoder(TextConfig(encoder=str(stage / ENCODER)))
        cross = cross_on(pairs, load_text_encoder(folder), folder, settings)
        cross.head.load_state_dict(torch.load(stage / HEAD_FILE, weights_only=True))
        scores[CROSS][rows] = cross.score(rows, precision)
    return scores


def _blends(pairs: Pairs, folds: list[int], scores: Scores) -> dict[int, GradeBlend]:
    """Return each fold's blend, fitted on the other folds as ``mercato relevance`` does."""
    told = np.stack([scores[name] for name in BLENDED], axis=1)
    held = {fold: crossed_rows(pairs.fold, folds, fold) for fold in folds}
    return {
        fold: fit_grade_blend(told[rows], pairs.grade[rows], pairs.weight[rows], pairs.query[rows], BLENDED)
        for fold, rows in held.items()
    }


def _ndcg(
    pairs: Pairs, folds: list[int], scores: Scores, blends: dict[int, GradeBlend], lists: Any, config: Config
) -> dict[str, NDArray[np.float64]]:
    told = np.stack([scores[name] for name in BLENDED], axis=1)
    fused = np.full(len(pairs), np.nan, dtype=np.float32)
    for fold in folds:
        rows = pairs.fold == fold
        fused[rows] = blends[fold](told[rows])
    whole = scores | {FUSED: fused}
    return {name: lists.ndcg(whole[name], config.relevance.at) for name in SYSTEMS}


def _said(one: dict[str, float]) -> str:
    return f"{one['value']:+.4f} ({one['low']:+.4f} to {one['high']:+.4f})"


if __name__ == "__main__":
    main()
