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


def lambda_rank_loss(scores: Tensor, gains: Tensor, kept: Tensor) -> Tensor:
    """LambdaRank: each pair of candidates in the wrong order pulls as hard as swapping them would raise NDCG.

    Row r is one request's list. A pair (i, j) with gain i above gain j costs |change of NDCG if the two swapped places|
    x log(1 + exp(s_j - s_i)), whose gradient is the paper's lambda at sigma 1; the places, and so the weights, are
    those of the present scores, without gradient. Gains enter NDCG as they are, as in ``commerce.metrics.ndcg``.
    Source: Burges 2010, From RankNet to LambdaRank to LambdaMART: An Overview, MSR-TR-2010-82, section 4.

    Args:
        scores: ``[lists, length]``.
        gains: ``[lists, length]``, 0 for what is not relevant; at least one is positive in every row.
        kept: ``[lists, length]``, bool, false where a list ends early.

    Returns: mean loss of a list in nats, a scalar.
    """
    scores = scores.float().masked_fill(~kept, 0.0)
    gains = gains.float().masked_fill(~kept, 0.0)
    place = (
        scores.detach().masked_fill(~kept, float("-inf")).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    )
    discount = 1.0 / torch.log2(place + 2.0)
    at = torch.arange(gains.shape[1], device=gains.device)
    ideal = (gains.sort(dim=1, descending=True).values / torch.log2(at + 2.0)).sum(dim=1)
    above = gains[:, :, None] - gains[:, None, :]
    change = above * (discount[:, :, None] - discount[:, None, :]).abs() / ideal[:, None, None]
    wanted = (above > 0) & kept[:, :, None] & kept[:, None, :]
    behind = scores[:, None, :] - scores[:, :, None]
    return (torch.nn.functional.softplus(behind) * change * wanted).sum(dim=(1, 2)).mean()


LOSSES = {"softmax": listwise_softmax_loss, "lambdarank": lambda_rank_loss}
"""``ranking.loss`` -> the loss of lists."""
