"""The heads learn from the numbers first: they need hundreds of steps, which cost seconds while no text is read."""

from __future__ import annotations

import torch
from torch import Tensor

from ranking.heads import ScoreHeads
from ranking.losses import LOSSES


def fit_numbers(
    heads: ScoreHeads,
    features: Tensor,
    intent: Tensor,
    gains: Tensor,
    kept: Tensor,
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float,
    loss: str = "softmax",
) -> float:
    """Fit the score heads to the numeric features alone, over all lists at once; the language model stays as it is.

    Args:
        heads: whose texts are silent.
        features: ``[lists, length, features]``.
        intent: ``[lists, 3]``.
        gains: ``[lists, length]``.
        kept: ``[lists, length]``, bool.
        steps: of AdamW; 0 leaves the heads as they are.
        learning_rate: constant.
        weight_decay: of all weights that learn here.
        loss: one of ``LOSSES``.

    Returns: the last loss, in nats.
    """
    heads.train()
    learning = [*heads.numbers.parameters(), *heads.by_intent.parameters(), *heads.direct.parameters()]
    optimizer = torch.optim.AdamW(learning, learning_rate, weight_decay=weight_decay)
    reached = torch.zeros(())
    for _ in range(steps):
        reached = LOSSES[loss](heads(None, features, intent[:, None]), gains, kept)
        optimizer.zero_grad()
        torch.autograd.backward(reached)
        optimizer.step()
    optimizer.zero_grad()
    return reached.item()
