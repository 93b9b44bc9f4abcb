"""A moving average of the weights, which is what is validated and kept."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor

_EVERY = 10
"""Steps between two updates, so that next to steps an update costs nothing, however large the tables ..."""
_AT_FIRST = 100
"""... but every step is taken in up to this one: a short training has not many."""


class Average(L.Callback):
    """Keeps a moving average of the trained weights and lends it to the model for each validation.

    Averaged weights generalise better than any that they are made of (Izmailov et al. 2018), and the learning rate
    need not have fallen for it. The weights of step s count as s ** g (the power function average of Karras et al.
    2024): it grows with the training, so that one setting suits a training of a thousand steps as well as one of a
    hundred thousand. Where the average looked back a fixed number of steps, a short training never left its start.

    Place it after the callbacks that save the model once a validation is over, so that they find the average there.
    Lightning's own ``WeightAveraging`` copies the whole module with all that it looks up, and exchanges buffers that a
    validation renews; this one knows trained parameters only. Its state is part of every checkpoint, so a resumed
    training goes on as if it had not been cut off.
    """

    def __init__(self, age: float) -> None:
        """Average.

        Args:
            age: mean age of the weights in it, as a share of the steps so far, in (0, .5]: 1 / (g + 2).
        """
        self.power = 1.0 / age - 1.0
        self.average: dict[str, Tensor] = {}
        self.lent = False

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Start from the first weights, or from a checkpoint's average."""
        for name, weight in _trained(module).items():
            known = self.average.get(name, weight)
            self.average[name] = known.detach().to(weight.device, copy=known is weight)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Take the weights in."""
        step = trainer.global_step
        if step > _AT_FIRST and step % _EVERY:
            return
        passed = _EVERY if step > _AT_FIRST else 1
        new = 1.0 - (1.0 - passed / step) ** self.power  # 1 at the first step: the weights before it knew nothing
        weights = _trained(module)
        with torch.no_grad():
            for name, average in self.average.items():
                average.lerp_(weights[name], new)

    def on_validation_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Lend the average to the model."""
        self._exchange(module)
        self.lent = True

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Take it back."""
        if self.lent:
            self._exchange(module)
            self.lent = False

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Take it back where a validation was cut off."""
        self.on_validation_end(trainer, module)

    def state_dict(self) -> dict[str, Any]:
        """Return the average."""
        return {"average": self.average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again."""
        self.average = state_dict["average"]

    def _exchange(self, module: L.LightningModule) -> None:
        weights = _trained(module)
        with torch.no_grad():
            for name, average in self.average.items():
                held = weights[name].clone()
                weights[name].copy_(average)
                average.copy_(held)


def _trained(module: L.LightningModule) -> dict[str, Tensor]:
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
