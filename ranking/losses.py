"""Losses of a list: pure functions of the scores of one request's candidates."""

from __future__ import annotations

import torch
from torch import Tensor


def listwise_softmax_loss(scores: Tensor, gains: Tensor, kept: Tensor) -> Tensor:
    """Cross-entropy between the gains' shares and the softmax of the scores: ListNet's top-one loss.

    Row r is one request's list. Its relevant candidates should take the whole probability, each in proportion to its
    gain; with one relevant candidate this is the plain softmax loss. Every list weighs the same, however long.
    Source: Cao et al. 2007, Learning to Rank: From Pairwise Approach to Listwise Approach.

    Args:
        scores: ``[lists, length]``.
        gains: ``[lists, length]``, 0 for what is not relevant; at least one is positive in every row.
        kept: ``[lists, length]``, bool, false where a list ends early.

    Returns: mean loss in nats, a scalar.
    """
    scores = scores.float().masked_fill(~kept, float("-inf"))
    log_shares = torch.log_softmax(scores, dim=1).masked_fill(~kept, 0.0)
    wanted = gains.masked_fill(~kept, 0.0)
    wanted = wanted / wanted.sum(dim=1, keepdim=True)
    return -(wanted * log_shares).sum(dim=1).mean()
