"""The heads learn from the numbers first: they need hundreds of steps, which cost seconds while no text is read."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ranking.batches import Examples
from ranking.heads import ScoreHeads
from ranking.losses import LOSSES


def standardise_numbers(heads: ScoreHeads, examples: Examples) -> None:
    """Let the heads take mean and spread of the numeric features over all candidates of all lists."""
    count = int(examples.candidates.sum())
    mean = sum(_numbers(examples, rows).sum(axis=0) for rows in examples.blocks()) / count
    variance = sum(((_numbers(examples, rows) - mean) ** 2).sum(axis=0) for rows in examples.blocks()) / count
    heads.standardise(torch.from_numpy(mean), torch.from_numpy(np.sqrt(variance)))


def fit_numbers(
    heads: ScoreHeads,
    examples: Examples,
    gains: NDArray[np.float32],
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float,
    loss: str = "softmax",
) -> float:
    """Fit the score heads to the numeric features alone, over all lists at once; the language model stays as it is.

    The gradient of a step is that of the mean loss over all lists, added up block by block.

    Args:
        heads: whose texts are silent.
        examples: the lists.
        gains: ``[lists, length]``.
        steps: of AdamW; 0 leaves the heads as they are.
        learning_rate: constant.
        weight_decay: of all weights that learn here.
        loss: one of ``LOSSES``.

    Returns: the last loss, in nats.
    """
    heads.train()
    learning = [*heads.numbers.parameters(), *heads.by_intent.parameters(), *heads.direct.parameters()]
    optimizer = torch.optim.AdamW(learning, learning_rate, weight_decay=weight_decay)
    reached = 0.0
    for _ in range(steps):
        optimizer.zero_grad()
        reached = 0.0
        for rows in examples.blocks():
            features, intent, wanted, kept = _lists(examples, gains, rows)
            share = (rows.stop - rows.start) / len(examples)
            part = share * LOSSES[loss](heads(None, features, intent[:, None]), wanted, kept)
            torch.autograd.backward(part)
            reached += part.item()
        optimizer.step()
    optimizer.zero_grad()
    return reached


def _numbers(examples: Examples, rows: slice) -> NDArray[np.float64]:
    """Return the numeric features of all candidates of some requests, ``[candidates, features]``."""
    return examples.features[rows][examples.items[rows] >= 0].astype(np.float64)


def _lists(examples: Examples, gains: NDArray[np.float32], rows: slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    parts = examples.features[rows], examples.intent[rows], gains[rows], examples.items[rows] >= 0
    features, intent, wanted, kept = (torch.from_numpy(np.array(part)) for part in parts)
    return features, intent, wanted, kept
