"""Batches for Lightning: numbered steps to train on, requests to validate on."""

from __future__ import annotations

import lightning as L
from torch.utils.data import DataLoader, Dataset

from learning.resume import StepSampler, step_random
from towers.batches import Batch, BatchMaker
from towers.validation import Asked, AskedBatches
from towers.windows import WindowPlan, Windows


class Steps(Dataset[Batch]):
    """A map from the number of a step, counted over all epochs, to this rank's part of its batch."""

    def __init__(self, plan: WindowPlan, maker: BatchMaker, rank: int, ranks: int) -> None:
        self.plan, self.maker, self.rank, self.ranks = plan, maker, rank, ranks
        self._epoch, self._batches = -1, list[Windows]()

    def __len__(self) -> int:
        return self.plan.steps

    def __getitem__(self, step: int) -> Batch:
        epoch, nth = divmod(step, self.plan.steps)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self.plan.batches(epoch)
        return self.maker.make(self._batches[nth], step_random(self.plan.seed, step), self.rank, self.ranks)


class TowerData(L.LightningDataModule):
    """What a training reads. The sampler is its own: Lightning would put in one that shuffles anew after a resume."""

    def __init__(self, plan: WindowPlan, maker: BatchMaker, validation: AskedBatches) -> None:
        super().__init__()
        self.plan, self.maker, self.validation = plan, maker, validation

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return this rank's batches of the epoch that the trainer is in, from the step that it is at."""
        trainer = self.trainer
        assert trainer is not None
        steps = Steps(self.plan, self.maker, trainer.global_rank, trainer.world_size)
        sampler = StepSampler(self.plan.steps, lambda: trainer.global_step)
        return DataLoader(steps, sampler=sampler, batch_size=None)

    def val_dataloader(self) -> DataLoader[Asked]:
        """Return this rank's batches of validation requests."""
        trainer = self.trainer
        assert trainer is not None
        ranks, batches = trainer.world_size, self.validation.for_ranks(trainer.world_size)
        mine = range(trainer.global_rank, len(batches), ranks)
        return DataLoader(batches, sampler=list(mine), batch_size=None)
