"""Train the towers on what lies before the ranker window; the best epoch is the one that ranks ``fit`` users best."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path

import lightning as L
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from torch import Tensor

from commerce.columns import DAY
from commerce.histories import Histories
from commerce.metrics import Relevant
from commerce.records import Requests
from commerce.seen import drop_seen
from configs.schema import Config, TextConfig, TowersConfig
from learning.adapters import add_adapters, merge_adapters
from learning.encoder_folder import EncoderFolder
from learning.gather import leave_ranks
from learning.language_model import load_text_encoder, recompute
from learning.resume import await_true
from learning.tokens import load_tokenizer, token_ids
from pipeline.encoders import TUNED, prepared_encoder, write_tuned
from pipeline.intents import fit_intent_head
from pipeline.loggers import training_loggers
from pipeline.mining import mine_negatives
from pipeline.run_stages import global_rank
from pipeline.stage import Outcome, Work
from pipeline.tower_inputs import Prepared
from towers.batches import BatchMaker
from towers.catalogue import Catalogue
from towers.data import TowerData
from towers.masks import Equivalents
from towers.mined import Mined
from towers.module import TwoTower
from towers.pool import PoolPlan, popularity_chances
from towers.start import start_from_pairs
from towers.targets import Targets
from towers.texts import TunedTexts
from towers.train import Best, load_best, save_model, train, write_curve
from towers.validation import AskedBatches
from towers.windows import WindowPlan

# Declared relations whose items are one choice: neither is a negative of the other.
_EQUIVALENT = ("variant",)
MINED = "mined.parquet"
"""Negatives that a round learns with."""
MODEL, SUMMARY = "model.ckpt", "summary.json"
"""The towers, and how well they did on ``fit``."""


def train_towers(work: Work) -> Outcome:
    """Train the towers and write the best ones, the curve and a summary."""
    if work.config.towers.teacher:
        from pipeline.taught_towers import train_taught  # which opens towers as this module does

        return train_taught(work)
    started, cpu = time.perf_counter(), time.process_time()
    prepared = Prepared.open(work.run.stage("prepare"))
    encoder = prepared_encoder(work.run, work.config.text)
    module, data = open_training(work, prepared, encoder)
    rounds, mined = _rounds(work, module, data, prepared)
    if global_rank() > 0:
        return Outcome([])
    best = max(rounds, key=lambda one: one.value)
    curve, first_epochs = _joined_curve([one.curve for one in rounds])
    best_epoch = first_epochs[rounds.index(best)] + best.epoch
    write_curve(curve, work.out / "curves.csv")
    intents = write_towers(work, prepared, module, best, encoder)
    summary = {
        "best_epoch": best_epoch,
        "epochs": len(curve),
        "val_ndcg@10": best.value,
        "fit_requests": len(data.validation.requests),
        "temperature": 1.0 / module.scale.item(),
        "seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(time.process_time() - cpu, 1),
    }
    (work.out / SUMMARY).write_text(json.dumps(summary, indent=1))
    return Outcome(
        [
            *mined,
            f"best of {len(curve)} epochs: {best_epoch + 1}, NDCG@10 {best.value:.4f} on "
            f"{len(data.validation.requests):,} fit requests",
            *intents,
        ]
    )


def write_towers(work: Work, prepared: Prepared, module: TwoTower, best: Best, encoder: EncoderFolder) -> list[str]:
    """Write towers as they were in a training's best epoch, with an intent head fitted on them; return what to say.

    Args:
        work: of the stage.
        prepared: where histories and labels are.
        module: as training left it.
        best: the epoch.
        encoder: that the training started from, where it trained one along.
    """
    load_best(module, best)
    fit = Requests.read(prepared.folder / "requests.parquet").of("validation", "fit")
    said = fit_intent_head(module, prepared, fit, work.config.run.seed)
    save_model(module, best.file, work.out / MODEL)
    if module.item_texts is not None:
        if work.config.towers.tuning == "lora":
            merge_adapters(module.item_texts.encoder)
        write_tuned(module.item_texts.encoder, encoder, work.out / TUNED)
    return said


def open_training(
    work: Work, prepared: Prepared, encoder: EncoderFolder, *, fresh: bool = True
) -> tuple[TwoTower, TowerData]:
    """Return towers, with all that they look up, and what they are trained on.

    Args:
        work: of the stage.
        prepared: the shop.
        encoder: of texts.
        fresh: whether they are to be trained from the start; else their weights are put in later.
    """
    settings, text = work.config.towers, work.config.text
    data, shares, chances = _data(work, prepared)
    catalogue = prepared.catalogue(encoder, text, settings.id_min_events, settings.popularity, shares, chances)
    L.seed_everything(work.config.run.seed, verbose=False)
    module = TwoTower(asdict(prepared.shape(catalogue)), asdict(settings))
    module.attach(catalogue, steps=data.plan.steps * settings.max_epochs)
    if fresh and settings.id_start == "pairs":
        start_from_pairs(module, prepared.histories, prepared.cuts, work.config.run.seed)
    if settings.tuning != "frozen":
        module.tune(*_tuned_texts(prepared, encoder, catalogue, settings, text))
    return module, data


def _rounds(work: Work, module: TwoTower, data: TowerData, prepared: Prepared) -> tuple[list[Best], list[str]]:
    """Train in rounds, each but the first with negatives mined by the one before; return the best of each.

    What a finished round left in scratch, its weights and its curve, is taken as it is, so a run that was cut off
    goes on in the round in which it was.
    """
    config, settings, seed = work.config, work.config.towers, work.config.run.seed
    logs, plan, maker = work.run.root / "logs", data.plan, data.maker
    rounds, said = list[Best](), list[str]()
    for number in range(1, config.towers.rounds + 1):
        folder = work.scratch() / f"round-{number}"
        folder.mkdir(exist_ok=True)  # by whichever rank comes first
        if number > 1:
            file = folder / MINED
            said += _mine(module, data, prepared, config, file)
            data.maker = replace(maker, mined=Mined.read(file))
            data.plan = replace(plan, seed=seed + number - 1)  # else the round would see the batches of the first
            settings = replace(settings, max_epochs=settings.round_epochs)
            module.refine(plan.steps * settings.max_epochs, settings.round_rate)
            if global_rank() == 0:
                shutil.copy(file, work.out / f"round-{number}-{MINED}")
        loggers = training_loggers(config.tracking, logs if number == 1 else logs / f"round-{number}")
        rounds.append(train(module, data, settings, seed + number - 1, folder, loggers))
    leave_ranks()
    return rounds, said


def _mine(module: TwoTower, data: TowerData, prepared: Prepared, config: Config, file: Path) -> list[str]:
    """Mine with the towers as they are, unless it was done before; the first rank does, the others wait."""
    if global_rank() > 0:
        await_true(file.is_file, str(file))
    if file.is_file():
        return []
    maker = data.maker
    choices = Targets.of(prepared.histories, prepared.cuts, config.prepare.targets)
    return [
        mine_negatives(
            module,
            prepared.histories,
            maker.targets,
            choices,
            maker.equivalents,
            config.towers,
            config.run.seed,
            file,
        )
    ]


def _joined_curve(curves: list[list[dict[str, float]]]) -> tuple[list[dict[str, float]], list[int]]:
    """Return the curves of rounds end to end, epochs and steps counted on, and the first epoch of each round."""
    joined, first = list[dict[str, float]](), list[int]()
    for number, curve in enumerate(curves, start=1):
        steps = int(joined[-1]["step"]) if joined else 0
        first.append(len(joined))
        for row in curve:
            counted = {"epoch": first[-1] + row["epoch"], "step": steps + row["step"]}
            joined.append({**row, **counted, **({"round": number} if len(curves) > 1 else {})})
    return joined, first


def _tuned_texts(
    prepared: Prepared, folder: EncoderFolder, catalogue: Catalogue, settings: TowersConfig, text: TextConfig
) -> tuple[TunedTexts, TunedTexts]:
    """Return the texts of items and of queries for training one encoder along."""
    encoder, tokenizer = load_text_encoder(folder), load_tokenizer(folder.path, folder.max_tokens)
    if settings.gradient_checkpointing:
        recompute(encoder)
    if settings.tuning == "lora":
        add_adapters(
            encoder,
            rank=settings.lora_rank,
            alpha=settings.lora_alpha,
            dropout=settings.lora_dropout,
            modules=settings.lora_modules,
        )

    def tuned(texts: list[str], prefix: str, vectors: Tensor) -> TunedTexts:
        rows = token_ids(tokenizer, [prefix + one if one else "" for one in texts])
        return TunedTexts(
            encoder,
            [row if one else [] for row, one in zip(rows, texts, strict=True)],
            vectors,
            settings.tuned_texts,
            dropped=settings.text_dropout,
            tokens_per_batch=text.tokens_per_batch,
            precision=text.precision,
        )

    return (
        tuned(prepared.item_texts, folder.item_prefix, catalogue.items.text),
        tuned(prepared.query_texts, folder.query_prefix, catalogue.queries),
    )


def _data(work: Work, prepared: Prepared) -> tuple[TowerData, NDArray[np.float64], NDArray[np.float64]]:
    """Return what a training reads, each item's share among its targets, and its chance in a draw by popularity."""
    config, settings = work.config, work.config.towers
    histories, cuts = prepared.histories, prepared.cuts
    items = pq.read_metadata(prepared.folder / "item_texts.parquet").num_rows
    since = _since(histories, cuts, settings.target_days)
    targets = Targets.of(histories, cuts, config.prepare.targets, repeats=settings.repeats, since=since)
    exact = settings.negatives == "all"
    plan = _plan(targets, histories, cuts, since, settings, config.run.seed)
    starts = histories.offsets[:-1].copy()
    starts[plan.users] = plan.start
    shares = np.zeros(items) if exact else targets.shares(items, histories, starts, cuts)
    chances = popularity_chances(shares, settings.popular_power)
    pool = PoolPlan(
        items, exact, settings.pool_targets, settings.uniform_negatives, settings.popular_negatives, chances
    )
    maker = BatchMaker(histories, targets, _equivalents(work.run.stage("ingest"), items), pool)
    return TowerData(plan, maker, _validation(config, prepared)), shares, chances


def _since(histories: Histories, cuts: NDArray[np.int64], days: float) -> int:
    """Return the earliest time of a target, in microseconds."""
    if not days:
        return int(np.iinfo(np.int64).min)
    last = cuts[cuts > histories.offsets[:-1]] - 1
    return int(histories.time[last].max() - days * DAY)


def _plan(
    targets: Targets,
    histories: Histories,
    cuts: NDArray[np.int64],
    since: int,
    settings: TowersConfig,
    seed: int,
) -> WindowPlan:
    """Return the windows of all users who have a target, from the first event that foretells one."""
    users = np.unique(targets.user)
    start = histories.offsets[users]
    if settings.target_days:
        early = np.array([histories.end_before(int(user), since) for user in users])
        # Half a window of what came before, so that no state that is trained has seen next to nothing.
        start = np.maximum(start, early - settings.history_length // 2)
    return WindowPlan(users, start, cuts[users], settings.history_length, settings.batch_users, seed)


def _validation(config: Config, prepared: Prepared) -> AskedBatches:
    """Return the ``fit`` requests; only what is new to the user counts where the towers are to find just that."""
    fit = Requests.read(prepared.folder / "requests.parquet").of("validation", "fit")
    targets = tuple(config.evaluate.targets or config.prepare.targets)
    hidden: tuple[str, ...] = ()
    if config.evaluate.filter_seen or not config.towers.repeats:
        hidden = targets
        relevant = Relevant(fit.offsets, fit.items, fit.gains)
        new = drop_seen(relevant, prepared.histories, fit.user, fit.history_end, targets)
        fit = replace(fit, offsets=new.offsets, items=new.items, gains=new.gains).where(new.counts > 0)
    return AskedBatches(fit, prepared.histories, config.towers.history_length, hide_seen=hidden)


def _equivalents(ingested: Path, items: int) -> Equivalents:
    relations = pq.read_table(ingested / "relations.parquet", columns=["item", "other", "relation"])
    same = np.isin(relations["relation"].to_pylist(), _EQUIVALENT)
    item, other = (relations[name].to_numpy()[same].astype(np.int64) for name in ("item", "other"))
    return Equivalents.of(item, other, items)
