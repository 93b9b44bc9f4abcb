"""How many graded pairs does a pretrained encoder need to beat what needs none?

    pip install -r benchmarks/relevance/requirements.txt
    python benchmarks/relevance/few_labels.py configs/search_relevance.yaml [key=value ...] [--shares .01,.05,.2,1]

At each share of the training queries (a smaller share's queries are among a larger one's) three systems are trained and
measured on the same queries of the folds named: the tower from pretrained weights, the tower of the same shape from
random ones, and gradient boosting over what words and the untuned encoder say of a pair. Epochs are chosen on
validation queries out of the same share; gradient boosting, which chooses nothing, is trained on those too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from commerce.durable import write_atomic
from commerce.graded import graded_lists
from commerce.intervals import bootstrap, paired
from commerce.pairs import Pairs
from configs.load import load_config
from configs.schema import Config
from learning.hardware import machine
from pipeline.limits import limit_process
from pipeline.provenance import versions
from pipeline.relevance.parts import part_of
from retrieval.word_match import WORD_FEATURES

PRETRAINED, RANDOM, BOOSTING = "pretrained", "random", "boosting"
AGAINST = tuple(f"{PRETRAINED} - {other}" for other in (RANDOM, BOOSTING))


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("config")
    arguments.add_argument("overrides", nargs="*")
    arguments.add_argument("--shares", default=".01,.05,.2,1")
    arguments.add_argument("--folds", default="0", help="folds that are measured, parted by commas")
    arguments.add_argument("--folder", type=Path, default=Path("runs/few-labels"))
    told = arguments.parse_args()
    limit_process(load_config(told.config, told.overrides).run.threads)
    rows = [_row(told, float(share)) for share in told.shares.split(",")]
    won = [row["share"] for row in rows if min(row[name]["low"] for name in AGAINST) > 0]
    found = {
        "config": told.config,
        "overrides": told.overrides,
        "folds": told.folds,
        "hardware": machine(),
        "versions": versions("mercato", "torch", "scikit-learn"),
        "rows": rows,
        "smallest share at which pretrained is above both": min(won, default=None),
    }
    write_atomic(told.folder / "few-labels.json", json.dumps(found, indent=1))
    print(json.dumps(found, indent=1))


def _row(told: argparse.Namespace, share: float) -> dict[str, Any]:
    """Return what each system reaches at a share of the training queries."""
    config = _config(told, share, PRETRAINED)
    pairs, k = _pairs(config), config.relevance.at
    scores = {
        PRETRAINED: _tower(config, pairs),
        RANDOM: _tower(_config(told, share, RANDOM), pairs),
        BOOSTING: _boosting(config, pairs),
    }
    measured = np.isin(pairs.fold, config.relevance.measured_folds)
    lists = graded_lists(pairs.query, pairs.grade, measured, config.run.seed)
    values = {name: lists.ndcg(one, k) for name, one in scores.items()}
    settings = config.evaluate
    precision = {"resamples": settings.bootstrap, "confidence": settings.confidence, "seed": config.run.seed}
    part = part_of(pairs, str(config.relevance.measured_folds[0]), share)
    row: dict[str, Any] = {
        "share": share,
        "pairs": len(part.trained) + len(part.validated),
        "queries": len(np.unique(pairs.query[np.concatenate([part.trained, part.validated])])),
        "measured queries": len(lists),
    }
    row |= {name: bootstrap(one, lists.queries, **precision).as_dict() for name, one in values.items()}
    for name, other in zip(AGAINST, (RANDOM, BOOSTING), strict=True):
        row[name] = paired(values[PRETRAINED], values[other], lists.queries, **precision).as_dict()
    print(json.dumps(row), flush=True)
    return row


def _config(told: argparse.Namespace, share: float, start: str) -> Config:
    return load_config(
        told.config,
        [
            *told.overrides,
            f"relevance.train_share={share}",
            f"relevance.start={start}",
            f"relevance.measured_folds=[{told.folds}]",
            "relevance.cross_encoder=false",
            "relevance.final=false",
            f"run.folder={told.folder / f'{share:g}-{start}'}",
        ],
    )


def _pairs(config: Config) -> Pairs:
    from pipeline.relevance.stages import run_relevance

    run_relevance(config, lambda line: print(line, flush=True))
    return Pairs.read(Path(config.run.folder) / "pairs" / "pairs.parquet")


def _tower(config: Config, pairs: Pairs) -> NDArray[np.float32]:
    """Train the tower for every fold that is measured and return its scores there."""
    _pairs(config)
    scores = np.full(len(pairs), np.nan, dtype=np.float32)
    for fold in config.relevance.measured_folds:
        own = pairs.fold == fold
        scores[own] = np.load(Path(config.run.folder) / f"tower-{fold}" / "scores.npy")[own]
    return scores


def _boosting(config: Config, pairs: Pairs) -> NDArray[np.float32]:
    table = pq.read_table(Path(config.run.folder) / "baselines" / "scores.parquet")
    features = np.stack([table[name].to_numpy() for name in (*WORD_FEATURES, "zero_shot")], axis=1)
    scores = np.full(len(pairs), np.nan, dtype=np.float32)
    for fold in config.relevance.measured_folds:
        part = part_of(pairs, str(fold), config.relevance.train_share)
        rows = np.concatenate([part.trained, part.validated])
        model = HistGradientBoostingRegressor(random_state=config.run.seed, max_iter=200, learning_rate=0.05)
        model.fit(features[rows], pairs.grade[rows], sample_weight=pairs.weight[rows])
        scores[part.measured] = model.predict(features[part.measured])
    return scores


if __name__ == "__main__":
    main()
