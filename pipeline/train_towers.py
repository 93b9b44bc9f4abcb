"""Train the towers on what lies before the ranker window; the best epoch is the one that ranks ``fit`` users best."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import lightning as L
import numpy as np
import pyarrow.parquet as pq

from commerce.records import Requests
from pipeline.intents import fit_intent_head
from pipeline.loggers import training_loggers
from pipeline.stage import Outcome, Work
from pipeline.tower_inputs import Prepared
from towers.batches import BatchMaker, PoolPlan
from towers.data import TowerData
from towers.masks import Equivalents
from towers.module import TwoTower
from towers.targets import Targets
from towers.train import save_model, train, write_curve
from towers.validation import AskedBatches
from towers.windows import WindowPlan

# Declared relations whose items are one choice: neither is a negative of the other.
_EQUIVALENT = ("variant",)


def train_towers(work: Work) -> Outcome:
    """Train the towers and write the best ones, the curve and a summary."""
    settings, seed = work.config.towers, work.config.run.seed
    started, cpu = time.perf_counter(), time.process_time()
    prepared = Prepared.open(work.run.stage("prepare"))
    data, shares = _data(work, prepared)
    catalogue = prepared.catalogue(work.config.text, settings.id_min_events, shares)

    L.seed_everything(seed, verbose=False)
    module = TwoTower(asdict(prepared.shape(catalogue)), asdict(settings))
    module.attach(catalogue, steps=data.plan.steps * settings.max_epochs)
    loggers = training_loggers(work.config.tracking, work.run.root / "logs")
    best = train(module, data, settings, seed, work.scratch(), loggers)
    intents = fit_intent_head(module, prepared, data.validation.requests, seed)

    write_curve(best.curve, work.out / "curves.csv")
    summary = {
        "best_epoch": best.epoch,
        "epochs": len(best.curve),
        "val_ndcg@10": best.value,
        "fit_requests": len(data.validation.requests),
        "temperature": 1.0 / module.scale.item(),
        "seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(time.process_time() - cpu, 1),
    }
    (work.out / "summary.json").write_text(json.dumps(summary, indent=1))
    save_model(module, best.file, work.out / "model.ckpt")
    return Outcome(
        [
            f"best of {len(best.curve)} epochs: {best.epoch + 1}, NDCG@10 {best.value:.4f} on "
            f"{len(data.validation.requests):,} fit requests",
            *intents,
        ]
    )


def _data(work: Work, prepared: Prepared) -> tuple[TowerData, np.ndarray]:
    config, settings = work.config, work.config.towers
    histories, cuts = prepared.histories, prepared.cuts
    items = pq.read_metadata(prepared.folder / "item_texts.parquet").num_rows
    targets = Targets.of(histories, cuts, config.prepare.targets)
    exact = settings.negatives == "all"
    ranks = settings.devices * settings.nodes
    pool = PoolPlan(items, exact, settings.pool_targets, settings.uniform_negatives, padded=ranks > 1)
    users = np.unique(targets.user)
    plan = WindowPlan(
        users,
        histories.offsets[users],
        cuts[users],
        settings.history_length,
        settings.batch_users * ranks,
        config.run.seed,
    )
    fit = Requests.read(prepared.folder / "requests.parquet").of("validation", "fit")
    hidden = tuple(config.evaluate.targets or config.prepare.targets) if config.evaluate.filter_seen else ()
    validation = AskedBatches(fit, histories, settings.history_length, hide_seen=hidden)
    maker = BatchMaker(histories, targets, _equivalents(work.run.stage("ingest"), items), pool)
    shares = np.zeros(items) if exact else targets.shares(items, histories, cuts)
    return TowerData(plan, maker, validation), shares


def _equivalents(ingested: Path, items: int) -> Equivalents:
    relations = pq.read_table(ingested / "relations.parquet", columns=["item", "other", "relation"])
    same = np.isin(relations["relation"].to_pylist(), _EQUIVALENT)
    item, other = (relations[name].to_numpy()[same].astype(np.int64) for name in ("item", "other"))
    return Equivalents.of(item, other, items)
