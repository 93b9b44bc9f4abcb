"""A training whose loss is no number any more is stopped at once, not carried on for hours."""

from __future__ import annotations

import math

from configs.errors import InputError


class LossError(InputError):
    """The loss became infinite or no number."""


def checked_loss(loss: float, step: int, rate: str) -> float:
    """Return a step's loss.

    Args:
        loss: mean over all ranks, so that all of them stop.
        step: steps done.
        rate: name of the setting that holds the learning rate, for the message.

    Raises:
        LossError: the loss is infinite or no number.
    """
    if math.isfinite(loss):
        return loss
    section = rate.split(".")[0]
    raise LossError(
        f"The loss at step {step} is {loss}; expected a finite number. Weights that gave it are of no use, so training "
        f"stops here and keeps nothing of it. Lower {rate}, or set {section}.precision=fp32 where it is bf16, and run "
        "again."
    )
