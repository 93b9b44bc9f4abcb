"""Train the towers: early stopping, the best weights, the curve, and resuming."""

from __future__ import annotations

import csv
import json
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy

from commerce.durable import put_in_place
from configs.schema import TowersConfig
from learning.average import Average
from learning.finite import checked_loss
from learning.hardware import trainer_precision
from learning.resume import Checkpoints, SeededSteps, save_atomic
from towers.data import TowerData
from towers.module import TwoTower

TEXTS = ("item_texts.", "query_texts.")
"""What begins the names of weights of a text encoder that is trained along, which is a model folder of its own."""
_FINISHED = "finished.json"
"""Written when a training is over: from then on it is not taken up again, only its best weights are."""


class Best(L.Callback):
    """Keeps the weights of the best epoch, the curve, and stops when nothing better came for a while.

    Its state is part of every checkpoint, so a resumed training goes on as if it had not been cut off.
    """

    def __init__(self, file: Path, patience: int) -> None:
        """Watch a training.

        Args:
            file: where the best weights go.
            patience: epochs without a better value after which training stops.
        """
        self.file, self.patience = file, patience
        self.epoch, self.value = -1, -math.inf
        self.curve: list[dict[str, float]] = []
        self.loss, self.steps = 0.0, 0

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Stop at once where the checkpoint is of the epoch after which the training had stopped."""
        if self.curve and trainer.current_epoch - 1 - self.epoch >= self.patience:
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, *_: Any) -> None:
        """Add up the loss.

        Raises:
            LossError: it is no finite number.
        """
        loss = float(trainer.callback_metrics["train/loss"])
        # Before anything of this step is kept: the checkpoint is written by a callback after this one.
        self.loss += checked_loss(loss, trainer.global_step, "towers.learning_rate")
        self.steps += 1

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Note an epoch."""
        if trainer.sanity_checking:
            return
        assert isinstance(module, TwoTower)
        value = float(trainer.callback_metrics["val/ndcg@10"])
        row = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "train_loss": self.loss / max(1, self.steps),
            "val_ndcg@10": value,
            "temperature": 1.0 / module.scale.item(),
        }
        self.curve.append(row)
        self.loss, self.steps = 0.0, 0
        if value > self.value:
            self.epoch, self.value = trainer.current_epoch, value
            save_atomic(trainer, self.file, weights_only=True)
        trainer.should_stop = trainer.should_stop or trainer.current_epoch - self.epoch >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """Return what has been seen."""
        return {name: getattr(self, name) for name in ("epoch", "value", "curve", "loss", "steps")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again."""
        for name, value in state_dict.items():
            setattr(self, name, value)


def train(
    module: TwoTower,
    data: TowerData,
    settings: TowersConfig,
    seed: int,
    scratch: Path,
    loggers: Sequence[Logger] = (),
    callbacks: Sequence[L.Callback] = (),
) -> Best:
    """Train, going on from a checkpoint in ``scratch`` where there is one, and leave the best weights in the module.

    Args:
        module: with its catalogue attached.
        data: what it reads.
        settings: the ``towers`` section.
        seed: of dropout; the data have their own.
        scratch: folder for checkpoints.
        loggers: Lightning loggers.
        callbacks: further Lightning callbacks, which watch and change nothing.
    """
    best, finished = Best(scratch / "best.ckpt", settings.patience), scratch / _FINISHED
    if finished.is_file():
        best.load_state_dict(json.loads(finished.read_text()))
        load_best(module, best)
        return best
    resumed = scratch / "last.ckpt"
    # Batches are numbered from the first step of all, so ours does go on where it was.
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated.*")  # its successor is new in torch
    trainer = L.Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy=_strategy(settings),
        precision=trainer_precision(settings.precision, settings.accelerator),
        max_epochs=settings.max_epochs,
        callbacks=[
            SeededSteps(seed),
            best,
            *([Average(settings.average)] if settings.average else []),  # after best, which saves what is lent
            *(Checkpoints(resumed, settings.checkpoint_steps), TQDMProgressBar(10)),
            *callbacks,
        ],
        logger=list(loggers),
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=str(scratch),
    )
    module.train()  # Lightning leaves it as it is, and a round before left it in evaluation mode, without dropout
    trainer.fit(module, data, ckpt_path=str(resumed) if resumed.is_file() else None, weights_only=False)
    trainer.strategy.barrier()
    module.to("cpu")
    module.attach(module.facts.to("cpu"), steps=module.steps)
    load_best(module, best)
    if trainer.is_global_zero:
        temporary = scratch / f".{_FINISHED}.tmp"
        temporary.write_text(json.dumps(best.state_dict()))
        put_in_place(temporary, finished)
    return best


def load_best(module: TwoTower, best: Best) -> None:
    """Put the weights of a training's best epoch into the module, and leave it in evaluation mode."""
    module.load_state_dict(torch.load(best.file, map_location="cpu", weights_only=False)["state_dict"])
    module.eval()


def _strategy(settings: TowersConfig) -> DDPStrategy | str:
    if settings.devices * settings.nodes == 1:
        return "auto"
    # A rank whose texts of a step are all empty leaves the encoder out.
    chosen = {"ddp": False, "ddp_find_unused_parameters_true": True, "auto": settings.tuning != "frozen"}
    # Buffers are the same on every rank already, and text vectors among them are large.
    return DDPStrategy(find_unused_parameters=chosen[settings.strategy], broadcast_buffers=False)


def save_model(module: TwoTower, trained: Path, file: Path) -> None:
    """Write a checkpoint that ``TwoTower.load_from_checkpoint`` reads: settings and weights, nothing to train on with.

    Args:
        module: with the weights to keep.
        trained: a checkpoint of its training.
        file: where to.
    """
    kept = torch.load(trained, map_location="cpu", weights_only=False)
    names = ("pytorch-lightning_version", "hyper_parameters", "hparams_name", "epoch", "global_step")
    # A text encoder that was trained along is a model folder of its own.
    weights = {name: value for name, value in module.state_dict().items() if not name.startswith(TEXTS)}
    torch.save({**{name: kept[name] for name in names if name in kept}, "state_dict": weights}, file)


def write_curve(curve: Sequence[dict[str, float]], file: Path) -> None:
    """Write a row per epoch."""
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, fieldnames=list(curve[0]))
        writer.writeheader()
        writer.writerows(curve)
