"""Train-ranker: a cross-encoder on the ranker window's lists, and the gate that decides whether it ships.

A cut-off training goes on from its last checkpoint, at the very list where it was, and ends with the same bits.
"""

from __future__ import annotations

import csv
import json
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray

from configs.schema import Config
from learning.adapters import merge_inserted
from learning.finite import checked_loss
from learning.hardware import trainer_precision, working_device
from learning.resume import Checkpoints, SeededSteps
from pipeline.ranker_lists import Training, write_training
from pipeline.ranking_inputs import (
    MAIN,
    NEW_ITEMS,
    PROTOCOLS,
    RankingInputs,
    actions_of,
    candidates_file,
    encoder_path,
    filters_seen,
    relevant_of,
)
from pipeline.resampling import resampling
from pipeline.run_folder import RunFolder
from pipeline.stage import Outcome, Work
from ranking.batches import Examples, TrainingBatches
from ranking.collapse import CollapseWatch
from ranking.cost import Cost, Speed, measure_speed
from ranking.cross_encoder import lowest_layers
from ranking.gate import CUT, Judged, Verdict, choose_weight, closed, judge
from ranking.module import Ranker
from ranking.pair_reader import KINDS as FULL_KINDS
from ranking.rerank import score_lists, score_numbers
from ranking.tuning import choose_weights
from ranking.warm_up import fit_numbers, standardise_numbers

NOTHING_TO_LEARN = "no request of the ranker window has a relevant candidate beside another one"


def train_ranker(work: Work) -> Outcome:
    """Train the cross-encoder, choose its weight on ``fit`` and judge it on ``gate``."""
    config = work.config
    if not config.ranking.enabled:
        return _write_closed(work, "ranking.enabled is false")
    inputs = RankingInputs.open(work.run, config)
    training = write_training(inputs, config, work.scratch() / "lists")
    print(training.counted, flush=True)
    if not len(training):
        return _write_closed(work, NOTHING_TO_LEARN)
    examples = training.examples
    ranker = build_ranker(inputs, config, examples, training)
    cost = expected_cost(ranker, inputs, config, examples, speed_of(ranker, config, examples, training))
    _announce(cost, config)
    started = time.process_time()
    collapsed = fit_ranker(ranker, config, examples, training, work.out, work.scratch())
    trained = time.process_time() - started
    if collapsed:
        return _write_closed(work, collapsed)
    ranker.to(working_device())
    found = {protocol: _judge(protocol, ranker, inputs, config) for protocol in _protocols(work.run)}
    return _write(work, training.counted, cost, trained, found, inputs)


def build_ranker(inputs: RankingInputs, config: Config, examples: Examples, training: Training) -> Ranker:
    """Return an untrained ranker of the config's layers and attention."""
    ranking = config.ranking
    limits = ranking.context_tokens, ranking.item_tokens
    full = ranking.attention == "full"
    weights = lowest_layers(
        str(encoder_path(inputs.run, config)),
        ranking.layers,
        sum(limits) if full else max(limits),
        FULL_KINDS if full else ("bert",),
    )
    shape = weights.config.to_dict()
    torch.manual_seed(config.run.seed)
    choose_weights(weights, ranking)
    ranker = Ranker(
        encoder=shape,
        features=inputs.features,
        sources=inputs.sources,
        context_tokens=ranking.context_tokens,
        item_tokens=ranking.item_tokens,
        width=ranking.width,
        dropout=ranking.dropout,
        learning_rate=ranking.learning_rate,
        head_learning_rate=ranking.head_learning_rate,
        weight_decay=ranking.weight_decay,
        steps=0,
        attention=ranking.attention,
        join=(inputs.tokenizer.join.skip, inputs.tokenizer.join.glue),  # plain, for the checkpoint
        loss=ranking.loss,
        adversarial=ranking.adversarial,
        weights=weights,
    )
    batches = _batches(ranker, config, examples, training)
    ranker.steps = sum(len(batches.rows(epoch)) for epoch in range(ranking.epochs))
    standardise_numbers(ranker.cross_encoder.heads, examples)
    return ranker


def _batches(ranker: Ranker, config: Config, examples: Examples, training: Training, done: int = 0) -> TrainingBatches:
    return TrainingBatches(
        examples,
        training.gains,
        tokens=ranker.cross_encoder.training_tokens(examples),
        tokens_per_batch=config.ranking.tokens_per_batch,
        batch_lists=config.ranking.batch_lists,
        seed=config.run.seed,
        done=done,
    )


def speed_of(ranker: Ranker, config: Config, examples: Examples, training: Training) -> Speed:
    """Return how fast an untrained ranker reads and learns here, measured."""
    return measure_speed(
        ranker,
        examples,
        training.gains,
        tokens_per_batch=config.ranking.tokens_per_batch,
        batch_lists=config.ranking.batch_lists,
        precision=config.ranking.precision,
    )


def expected_cost(ranker: Ranker, inputs: RankingInputs, config: Config, examples: Examples, speed: Speed) -> Cost:
    """Return what is ahead at a speed, ``rank`` included."""
    ranking = config.ranking
    model, context = ranker.cross_encoder, float(examples.contexts.lengths.mean())
    an_item, items = float(inputs.item_tokens.lengths.mean()), len(inputs.item_tokens)
    parts = {}
    for protocol in _protocols(inputs.run):
        suffix = "" if protocol == MAIN else " (new items)"
        for half, users in (("fit", ranking.fit_users), ("gate", ranking.gate_users)):
            parts[half + suffix] = len(inputs.judged(half, users, config.run.seed, new_items=False, actions=()))
        parts["test" + suffix] = int((inputs.requests.window == "test").sum())
    tokens = {"training": int(model.training_tokens(examples).sum()) * ranking.epochs} | {
        part: round(model.reading_tokens(requests, context, requests * ranking.depth, an_item, items))
        for part, requests in parts.items()
    }
    return Cost(tokens, speed)


def _announce(cost: Cost, config: Config) -> None:
    """Say what is ahead and refuse what is too much."""
    ranking = config.ranking
    print(cost.line(), flush=True)
    settings = ("depth", "layers", "train_requests", "list_length", "epochs", "context_tokens", "gate_users")
    cost.check(ranking.max_minutes, {name: getattr(ranking, name) for name in settings})


def fit_ranker(ranker: Ranker, config: Config, examples: Examples, training: Training, out: Path, scratch: Path) -> str:
    """Train, write checkpoint and curve into ``out``; return why it was stopped as degenerate, empty where not.

    Args:
        ranker: as ``build_ranker`` gives it.
        config: whole.
        examples: of the training lists.
        training: the lists.
        out: folder for what is finished.
        scratch: folder for the checkpoints of this very training, which goes on from one that is there.
    """
    resumed = scratch / "last.ckpt"
    if not resumed.is_file():
        _fit_numbers(ranker, config, examples, training)
    return _fit(ranker, config, examples, training, out, resumed)


def _fit_numbers(ranker: Ranker, config: Config, examples: Examples, training: Training) -> None:
    torch.manual_seed(config.run.seed)
    loss = fit_numbers(
        ranker.cross_encoder.heads,
        examples,
        training.gains,
        steps=config.ranking.number_steps,
        learning_rate=config.ranking.number_learning_rate,
        weight_decay=config.ranking.weight_decay,
        loss=config.ranking.loss,
    )
    print(f"heads fitted to the numeric features: loss {loss:.3f} nats", flush=True)


def _fit(ranker: Ranker, config: Config, examples: Examples, training: Training, out: Path, resumed: Path) -> str:
    """Train; return why it was stopped as degenerate, empty where it was not."""
    curve, done = _LossCurve(), 0
    if resumed.is_file():
        done = int(torch.load(resumed, map_location="cpu", weights_only=False)["global_step"])
        print(f"goes on from step {done:,} of {ranker.steps:,}", flush=True)
    # Ours does go on where it was, by the steps done.
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
    trainer = L.Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=config.ranking.epochs,
        precision=trainer_precision(config.ranking.precision),
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[SeededSteps(config.run.seed), curve, Checkpoints(resumed, config.ranking.checkpoint_steps)],
    )
    ranker.train()
    trainer.fit(
        ranker,
        _batches(ranker, config, examples, training, done),
        ckpt_path=str(resumed) if done else None,
        weights_only=False,
    )
    merge_inserted(ranker)
    if not curve.watch.reason:
        trainer.save_checkpoint(out / "ranker.ckpt", weights_only=True)
    with (out / "curves.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("step", "train/loss", "spread"), *curve.losses])
    return curve.watch.reason


class _LossCurve(L.Callback):
    """Keeps loss and spread of every step, and stops a training that has collapsed."""

    def __init__(self) -> None:
        self.losses: list[tuple[int, float, float]] = []
        self.watch = CollapseWatch()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = checked_loss(float(outputs["whole"]), trainer.global_step, "ranking.learning_rate")
        spread = float(outputs["spread"])
        self.losses.append((trainer.global_step, round(loss, 5), round(spread, 6)))
        if self.watch.see(spread, trainer.global_step, loss):
            trainer.should_stop = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or bool(self.watch.reason)

    def state_dict(self) -> dict[str, Any]:
        return {"losses": self.losses, "flat": self.watch.flat, "reason": self.watch.reason}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.losses = state_dict["losses"]
        self.watch.flat, self.watch.reason = state_dict["flat"], state_dict["reason"]


@dataclass(frozen=True)
class _Judgement:
    """What became of one protocol."""

    verdict: Verdict
    fit: dict[str, float]
    """NDCG@10 on the ``fit`` half: of the blend, of the numbers alone, and of numbers and texts, each at its best."""

    def as_json(self) -> dict[str, Any]:
        return {**self.verdict.as_json(), f"fit_ndcg@{CUT}": self.fit}


def _judge(protocol: str, ranker: Ranker, inputs: RankingInputs, config: Config) -> _Judgement:
    """Choose the weight on ``fit``, note what the texts add there, and ask the gate."""
    fit, of_numbers = judge_half(protocol, "fit", config.ranking.fit_users, ranker, inputs, config)
    weight, tried = choose_weight(fit)
    _, numbers = choose_weight(replace(fit, read=of_numbers))
    found = {"blend": tried[0.0], "numbers alone": max(numbers.values()), "numbers and texts": max(tried.values())}
    gate, _ = judge_half(protocol, "gate", config.ranking.gate_users, ranker, inputs, config)
    verdict = judge(gate, weight, **resampling(config))
    return _Judgement(verdict, {name: round(value, 5) for name, value in found.items()})


def judge_half(
    protocol: str, half: str, users: int, ranker: Ranker, inputs: RankingInputs, config: Config
) -> tuple[Judged, NDArray[np.float32]]:
    """Return one half's lists with the ranker's scores, and the scores that its numbers alone would give."""
    ranking = config.ranking
    requests = inputs.judged(
        half, users, config.run.seed, new_items=filters_seen(config, protocol), actions=actions_of(config)
    )
    lists = inputs.lists(candidates_file("validation", protocol), requests, max(ranking.depth, CUT))
    examples = inputs.examples("validation", requests, lists.first(ranking.depth))
    read = score_lists(
        ranker,
        examples,
        tokens_per_batch=ranking.tokens_per_batch,
        precision=ranking.precision,
        label=f"{protocol} {half}",
    )
    judged = Judged(lists.items, lists.scores, read, relevant_of(requests), requests.user)
    return judged, score_numbers(ranker, examples)


def _write(
    work: Work, counted: str, cost: Cost, trained: float, found: dict[str, _Judgement], inputs: RankingInputs
) -> Outcome:
    ranking = work.config.ranking
    gate = {
        **found[MAIN].as_json(),
        NEW_ITEMS: found[NEW_ITEMS].as_json() if NEW_ITEMS in found else None,
        "attention": ranking.attention,
        "depth": ranking.depth,
        "context_tokens": ranking.context_tokens,
        "item_tokens": ranking.item_tokens,
        "features": list(inputs.features),
        "reads": list(ranking.reads),
        "sources": list(inputs.sources),
        "lists": counted,
        "cost": {**cost.as_json(), "training_processor_seconds": round(trained, 2)},
    }
    (work.out / "gate.json").write_text(json.dumps(gate, indent=1))
    if not any(judgement.verdict.shipped for judgement in found.values()):
        (work.out / "ranker.ckpt").unlink()
    return Outcome([line for protocol, judgement in found.items() for line in _lines(protocol, judgement)])


def _write_closed(work: Work, reason: str) -> Outcome:
    """Ship the blended order without having trained anything."""
    (work.out / "gate.json").write_text(json.dumps({**closed(reason).as_json(), NEW_ITEMS: None}, indent=1))
    return Outcome([f"gate: the blended order ships: {reason}"])


def _lines(protocol: str, judgement: _Judgement) -> list[str]:
    verdict = judgement.verdict
    what = "the reranked order" if verdict.shipped else "the blended order"
    where = "" if protocol == MAIN else " for items new to their users"
    lines = [f"gate{where}: {what} ships: {verdict.reason}"]
    if verdict.blended and verdict.reranked:
        lines.append(
            f"  NDCG@{CUT} on {verdict.users:,} gate users: blended {verdict.blended.value:.4f}, "
            f"reranked {verdict.reranked.value:.4f}"
        )
    fit = ", ".join(f"{name} {value:.4f}" for name, value in judgement.fit.items())
    return [*lines, f"  NDCG@{CUT} on fit: {fit}"]


def _protocols(run: RunFolder) -> list[str]:
    """Return the protocols that ``retrieve`` wrote candidates for."""
    folder = run.stage("retrieve")
    return [name for name in PROTOCOLS if (folder / f"{candidates_file('validation', name)}.parquet").is_file()]
