"""Losses of graded pairs, for any model that scores them: pure functions of a batch's scores, grades and weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def graded_softmax_loss(scores: Tensor, grades: Tensor, weights: Tensor, query: Tensor) -> Tensor:
    """Cross-entropy between a query's gains and the softmax of its products' scores, as ListNet's top-one loss.

    Products share a query's probability in proportion to (2 ** grade - 1) x weight (Cao et al. 2007); what that
    target's own entropy is, is taken off, so that a perfect order of the right sharpness costs 0. Queries of one
    product, or without gains, cost 0.

    Args:
        scores: ``[pairs]``.
        grades: ``[pairs]``, from 0.
        weights: ``[pairs]``, how sure a grade is.
        query: ``[pairs]`` int64: which pairs belong to one query.

    Returns: mean over the batch's queries in nats, a scalar.
    """
    together = query[:, None] == torch.unique(query)[None, :]
    wanted = ((torch.exp2(grades) - 1.0) * weights)[:, None] * together
    wanted = wanted / wanted.sum(dim=0, keepdim=True).clamp(min=1e-9)
    apart = torch.xlogy(wanted, wanted) - wanted * _log_shares(scores, together)
    loss: Tensor = apart.sum() / together.shape[1]
    return loss


def in_batch_softmax_loss(scores: Tensor, grades: Tensor, weights: Tensor, owner: Tensor, text: Tensor) -> Tensor:
    """Cross-entropy between a query's gains and the softmax over all the batch's texts, other queries' too.

    A text that came with another query counts as irrelevant to this one, unless it came with both. Multiple negatives
    (Henderson et al. 2017) with graded positives.

    Args:
        scores: ``[queries, texts]`` of every query with every distinct text of the batch.
        grades: ``[pairs]``, from 0.
        weights: ``[pairs]``.
        owner: ``[pairs]`` int64: the pair's row in ``scores``.
        text: ``[pairs]`` int64: its column.

    Returns: mean over the queries that have a gain, in nats, a scalar; 0 where none has.
    """
    wanted = torch.zeros_like(scores).index_put((owner, text), (torch.exp2(grades) - 1.0) * weights, accumulate=True)
    total = wanted.sum(dim=1, keepdim=True)
    wanted = wanted / total.clamp(min=1e-9)
    lost = -(wanted * torch.log_softmax(scores, dim=1)).sum(dim=1)
    return lost.sum() / (total > 0).sum().clamp(min=1)


def distillation_loss(scores: Tensor, taught: Tensor, query: Tensor, temperature: float) -> Tensor:
    """Divergence of a query's softmax of scores from that of its teacher's: KL(teacher || scores), listwise.

    Args:
        scores: ``[pairs]``.
        taught: ``[pairs]``: the teacher's scores of the same pairs.
        query: ``[pairs]`` int64: which pairs belong to one query.
        temperature: what the teacher's scores are divided by.

    Returns: mean over the batch's queries in nats, a scalar.
    """
    together = query[:, None] == torch.unique(query)[None, :]
    wanted = _log_shares(taught / temperature, together)
    loss: Tensor = ((wanted.exp() * together) * (wanted - _log_shares(scores, together))).sum() / together.shape[1]
    return loss


def _log_shares(scores: Tensor, together: Tensor) -> Tensor:
    """Return the log-softmax of scores within each column's query, ``[pairs, queries]``; 0 for others' pairs."""
    spread = scores[:, None].masked_fill(~together, float("-inf"))
    return torch.log_softmax(spread, dim=0).masked_fill(~together, 0.0)


def grade_loss(scores: Tensor, grades: Tensor, weights: Tensor, highest: float, lowest: float = 0.0) -> Tensor:
    """Cross-entropy of each pair by itself: sigmoid(score) should be its grade on a scale from 0 to 1.

    Args:
        scores: ``[pairs]``, logits.
        grades: ``[pairs]``, from ``lowest`` to ``highest``.
        weights: ``[pairs]``.
        highest: grade that 1 stands for.
        lowest: grade that 0 stands for.

    Returns: weighted mean in nats, a scalar.
    """
    target = (grades - lowest) / (highest - lowest)
    losses = F.binary_cross_entropy_with_logits(scores, target, reduction="none")
    return (losses * weights).sum() / weights.sum()
