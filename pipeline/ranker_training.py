"""Training of one reranker: what it is built of, what it will cost, and its steps.

A cut-off training goes on from its last checkpoint, at the very list where it was, and ends with the same bits.
"""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch

from configs.schema import Config
from learning.adapters import merge_inserted
from learning.finite import checked_loss
from learning.hardware import trainer_precision
from learning.resume import Checkpoints, SeededSteps
from pipeline.ranker_lists import Training
from pipeline.ranking_inputs import MAIN, RankingInputs, encoder_path, protocols_of
from ranking.batches import Examples, TrainingBatches
from ranking.collapse import CollapseWatch
from ranking.cost import Cost, Speed, measure_speed
from ranking.cross_encoder import lowest_layers
from ranking.module import Ranker
from ranking.pair_reader import KINDS as FULL_KINDS
from ranking.tuning import choose_weights
from ranking.warm_up import fit_numbers, standardise_numbers


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
    for protocol in protocols_of(inputs.run):
        suffix = "" if protocol == MAIN else " (new items)"
        for half, users in (("fit", ranking.fit_users), ("gate", ranking.gate_users)):
            parts[half + suffix] = len(inputs.judged(half, users, config.run.seed, new_items=False, actions=()))
        parts["test" + suffix] = int((inputs.requests.window == "test").sum())
    tokens = {"training": int(model.training_tokens(examples).sum()) * ranking.epochs} | {
        part: round(model.reading_tokens(requests, context, requests * ranking.depth, an_item, items))
        for part, requests in parts.items()
    }
    return Cost(tokens, speed, ranking.number_steps)


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
