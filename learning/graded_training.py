"""Training on graded pairs, whatever model scores them: lists of a few queries a step, the best epoch is kept."""

from __future__ import annotations

import json
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from commerce.durable import write_atomic
from learning.average import Average
from learning.finite import checked_loss
from learning.hardware import trainer_precision
from learning.language_model import TextEncoder
from learning.optimizer import parameter_groups, warmup_cosine
from learning.resume import Checkpoints, SeededSteps, StepSampler, save_atomic

SCORING_TOKENS = 8192
"""Padded tokens that are read together while nothing is trained."""
_WARMUP_SHARE = 0.1
_CHECKPOINT_STEPS = 100
_FINISHED = "finished.json"
"""Written when a training is over: from then on only its best weights are read."""


class GradedBatch(NamedTuple):
    """Pairs of a step; tensors are ``[pairs]``."""

    rows: NDArray[np.int64]
    query: Tensor
    """int64 codes."""
    grades: Tensor
    weights: Tensor


class PairScorer(nn.Module, ABC):
    """A model that knows the texts of all pairs, learns from some of them and scores others."""

    encoder: TextEncoder
    """The language model in it."""

    @abstractmethod
    def loss(self, batch: GradedBatch) -> Tensor:
        """Return the mean loss of a step in nats, a scalar with gradient."""

    @abstractmethod
    def score(self, rows: NDArray[np.int64], precision: str) -> NDArray[np.float32]:
        """Return the scores of some pairs, ``[rows]``, in evaluation mode and without gradient."""


@dataclass(frozen=True)
class GradedPairs:
    """What is trained on; arrays are ``[pairs]`` of the whole table."""

    query: NDArray[np.int32]
    grades: NDArray[np.float32]
    weights: NDArray[np.float32]
    trained: NDArray[np.int64]
    """Rows that are trained on."""
    validated: NDArray[np.int64]
    """Rows on which epochs are compared."""


@dataclass(frozen=True)
class Pace:
    """How a training goes."""

    epochs: int
    list_products: int
    """Products of one query in a list."""
    batch_lists: int
    """Lists in a step."""
    learning_rate: float
    """Peak rate of what ``rates`` does not name."""
    rates: Mapping[str, float]
    """Prefix of parameter names -> their own peak rate."""
    weight_decay: float
    average: float
    """Mean age of the moving average of the weights; 0: none."""
    precision: str
    seed: int
    setting: str
    """Name of the setting that holds the learning rate, for messages."""


class GradedSteps(Dataset[GradedBatch]):
    """Step n of the whole training: lists of several queries, dealt anew in every epoch by (seed, epoch)."""

    def __init__(self, pairs: GradedPairs, pace: Pace) -> None:
        self.pairs, self.pace = pairs, pace
        order = pairs.trained[np.argsort(pairs.query[pairs.trained], kind="stable")]
        _, starts = np.unique(pairs.query[order], return_index=True)
        self.of_query = np.split(order, starts[1:])
        self.epoch, self.batches = 0, self._deal(0)

    def __len__(self) -> int:
        """Steps of an epoch: the same in each."""
        return len(self.batches)

    def __getitem__(self, step: int) -> GradedBatch:
        epoch, place = divmod(step, len(self.batches))
        if epoch != self.epoch:
            self.epoch, self.batches = epoch, self._deal(epoch)
        rows = self.batches[place]
        return GradedBatch(
            rows,
            torch.from_numpy(self.pairs.query[rows].astype(np.int64)),
            torch.from_numpy(self.pairs.grades[rows]),
            torch.from_numpy(self.pairs.weights[rows]),
        )

    def _deal(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return the rows of each step: a query's products in lists of nearly equal length, lists in random order."""
        draw = np.random.default_rng([self.pace.seed, epoch])
        lists = [
            part
            for rows in self.of_query
            for part in np.array_split(draw.permutation(rows), math.ceil(len(rows) / self.pace.list_products))
        ]
        # Queries of one product make lists of one: a step holds as many of those as make up its pairs.
        steps = max(1, round(len(self.pairs.trained) / (self.pace.list_products * self.pace.batch_lists)))
        parts = np.array_split(draw.permutation(len(lists)), min(steps, len(lists)))
        return [np.concatenate([lists[place] for place in places]) for places in parts]


class BestEpoch(L.Callback):
    """Keeps the weights of the epoch with the best value on validation, and the curve; part of every checkpoint."""

    def __init__(self, file: Path, setting: str) -> None:
        self.file, self.setting = file, setting
        self.curve: list[dict[str, float]] = []
        self.loss, self.steps = 0.0, 0

    @property
    def value(self) -> float:
        """The best value so far."""
        return max((row["validation"] for row in self.curve), default=-math.inf)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, *_: Any) -> None:
        """Add up the loss.

        Raises:
            LossError: it is no finite number.
        """
        loss = float(trainer.callback_metrics["train/loss"])
        self.loss, self.steps = self.loss + checked_loss(loss, trainer.global_step, self.setting), self.steps + 1

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Note an epoch, and keep its weights where it is the best."""
        value = float(trainer.callback_metrics["validation"])
        if value > self.value:
            save_atomic(trainer, self.file, weights_only=True)
        self.curve.append({"epoch": trainer.current_epoch, "loss": self.loss / max(1, self.steps), "validation": value})
        self.loss, self.steps = 0.0, 0

    def state_dict(self) -> dict[str, Any]:
        """Return what has been seen."""
        return {name: getattr(self, name) for name in ("curve", "loss", "steps")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again."""
        for name, value in state_dict.items():
            setattr(self, name, value)


def train_graded(
    scorer: PairScorer,
    pairs: GradedPairs,
    judge: Callable[[NDArray[np.float32]], float],
    pace: Pace,
    scratch: Path,
) -> list[dict[str, float]]:
    """Train a scorer, leave its best epoch's weights in it, and return the curve, a row per epoch.

    A training that was cut off goes on from its checkpoint in ``scratch``.

    Args:
        scorer: the model.
        pairs: what is trained and validated on.
        judge: scores of ``pairs.validated`` -> a value, higher is better.
        pace: how it goes.
        scratch: folder for checkpoints.

    Raises:
        LossError: the loss is no finite number any more.
    """
    best, finished = BestEpoch(scratch / "best.ckpt", pace.setting), scratch / _FINISHED
    if finished.is_file():
        best.load_state_dict(json.loads(finished.read_text()))
        return _best_of(scorer, best)
    steps = GradedSteps(pairs, pace)
    module = _Training(scorer, judge, pairs.validated, pace, len(steps) * pace.epochs)
    resumed = scratch / "last.ckpt"
    # Batches are numbered from the first step of all, so ours does go on where it was.
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
    trainer = L.Trainer(
        accelerator="auto",
        devices=1,
        precision=trainer_precision(pace.precision),
        max_epochs=pace.epochs,
        callbacks=[
            SeededSteps(pace.seed),
            best,
            *([Average(pace.average)] if pace.average else []),  # after best, which saves what is lent
            *(Checkpoints(resumed, _CHECKPOINT_STEPS), TQDMProgressBar(10)),
        ],
        logger=False,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=str(scratch),
    )
    sampler = StepSampler(len(steps), lambda: trainer.global_step)
    trainer.fit(
        module.train(),
        DataLoader(steps, sampler=sampler, batch_size=None),
        DataLoader(_Once(), batch_size=None),
        ckpt_path=str(resumed) if resumed.is_file() else None,
        weights_only=False,
    )
    write_atomic(finished, json.dumps(best.state_dict()))
    return _best_of(scorer, best)


def _best_of(scorer: PairScorer, best: BestEpoch) -> list[dict[str, float]]:
    kept = torch.load(best.file, map_location="cpu", weights_only=False)["state_dict"]
    scorer.load_state_dict({name.removeprefix("scorer."): weight for name, weight in kept.items()})
    scorer.cpu().eval()
    return best.curve


class _Once(Dataset[int]):
    """One step of validation, which scores everything."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, step: int) -> int:
        return step


class _Training(L.LightningModule):
    """Joins a scorer with its optimiser and what it is judged by."""

    def __init__(
        self,
        scorer: PairScorer,
        judge: Callable[[NDArray[np.float32]], float],
        validated: NDArray[np.int64],
        pace: Pace,
        steps: int,
    ) -> None:
        super().__init__()
        self.scorer, self.judge = scorer, judge
        self.validated, self.pace, self.steps = validated, pace, steps

    def training_step(self, batch: GradedBatch, batch_idx: int) -> Tensor:
        loss = self.scorer.loss(batch)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch.rows))
        return loss

    def validation_step(self, batch: int, batch_idx: int) -> None:
        value = self.judge(self.scorer.score(self.validated, self.pace.precision))
        self.log("validation", value, prog_bar=True, batch_size=1)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Lightning's own clipping refuses a fused optimiser in bf16, though nothing is scaled there.
        torch.nn.utils.clip_grad_norm_(self.parameters(), 1.0)

    def configure_optimizers(self) -> dict[str, Any]:  # type: ignore[override]
        groups = parameter_groups(
            self.scorer,
            learning_rate=self.pace.learning_rate,
            weight_decay=self.pace.weight_decay,
            rates=self.pace.rates,
        )
        optimizer = torch.optim.AdamW(groups, fused=True)
        schedule = warmup_cosine(optimizer, self.steps, _WARMUP_SHARE)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
