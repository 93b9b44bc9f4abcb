"""Training that is cut off and started again ends with the same weights and the same curve.

What a step draws follows from (seed, step), its dropout from (seed, step, rank); batches are numbered from the first
step of all, so a sampler's state is one number; and what was learnt is written whole or not at all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch.utils.data import Sampler

from commerce.durable import put_in_place


class StepSampler(Sampler[int]):
    """Numbers of the steps that are left of the current epoch, counted over all epochs."""

    def __init__(self, steps: int, done: Callable[[], int]) -> None:
        """Count steps.

        Args:
            steps: steps in an epoch.
            done: returns the steps done so far, over all epochs; asked whenever an epoch starts.
        """
        self.steps, self.done = steps, done

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[int]:
        done = self.done()
        return iter(range(done, (done // self.steps + 1) * self.steps))


def step_random(seed: int, step: int) -> np.random.Generator:
    """Return the generator of a step's data, one and the same on every rank: draws of targets, negatives and order."""
    return np.random.default_rng([seed, step])


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed torch for one step, so that its dropout follows from (seed, step, rank)."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1))


class SeededSteps(L.Callback):
    """Seeds torch before every training step."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        """Seed from the number of steps done."""
        seed_step(self.seed, trainer.global_step, trainer.global_rank)


class Checkpoints(L.Callback):
    """Writes the whole state of a training every so many steps and after every epoch, in one file, atomically."""

    def __init__(self, file: Path, every: int) -> None:
        """Keep checkpoints.

        Args:
            file: where; the one before is replaced.
            every: steps between two.
        """
        self.file, self.every = file, every

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Write inside an epoch; its end is written once validation is over."""
        if trainer.global_step % self.every == 0 and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            save_atomic(trainer, self.file)

    def on_train_epoch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Write after an epoch."""
        save_atomic(trainer, self.file)


def save_atomic(trainer: L.Trainer, file: Path, *, weights_only: bool = False) -> None:
    """Write a Lightning checkpoint, or what of it a finished model needs; ``file`` is whole or as it was, always."""
    temporary = file.with_name(f".{file.name}.tmp")
    trainer.strategy.checkpoint_io = _StraightIO()
    trainer.save_checkpoint(temporary, weights_only)  # ranks other than the first write nothing
    if trainer.is_global_zero:
        put_in_place(temporary, file)


class _StraightIO(TorchCheckpointIO):
    """Writes a checkpoint into its file tensor by tensor.

    Lightning lays it out in memory first, and copies that to write it: 8 GB more for a checkpoint of 4 GB.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        torch.save(checkpoint, path)


def await_true(happened: Callable[[], bool], what: str) -> None:
    """Wait, on a rank other than the first, for what the first one does alone; ranks share their file system.

    Raises:
        RuntimeError: if whatever started this process is gone, and with it, by all odds, the first rank.
    """
    parent = os.getppid()
    while not happened():
        if os.getppid() != parent:
            raise RuntimeError(f"waited for {what}, but the process that started this rank has ended")
        time.sleep(0.1)
