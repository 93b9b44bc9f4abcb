"""Losses of the towers: the softmax over one pool of negatives, corrected, and the exact one over the catalogue.

All vectors have unit length; ``scale`` is the inverse temperature that multiplies their cosine. Every function returns
a weighted sum, so that ranks can divide by a count they share.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def pool_chance(
    share: Tensor, drawn: int, catalogue: int, uniform: int, popular: int = 0, chance: Tensor | None = None
) -> Tensor:
    """Return the chance of each item to be in the pool of a step.

    The pool holds the distinct items among ``drawn`` targets, ``uniform`` draws from the catalogue and ``popular``
    draws by popularity, so an item misses it only if every draw misses it
    (design: p(y) = 1 - (1 - q)^n (1 - 1/V)^M, and a factor (1 - r)^P more for the draws by popularity).

    Args:
        share: ``[items]``, the item's share among all trained targets, q.
        drawn: targets drawn into the pool, n.
        catalogue: number of items, V.
        uniform: uniform draws, M.
        popular: draws by popularity, P.
        chance: ``[items]``, the item's chance in one draw by popularity, r; only where there are such draws.

    Returns: ``[items]``, float64 in (0, 1].
    """
    # log1p keeps the tiny shares of a large catalogue, which 1 - (1 - q)^n would round away.
    missed = drawn * _log_missed(share)
    if uniform:
        missed = missed + uniform * _log_missed(torch.tensor(1.0 / max(catalogue, 2), dtype=torch.float64))
    if popular and chance is not None:
        missed = missed + popular * _log_missed(chance)
    return -torch.expm1(missed)


def _log_missed(chance: Tensor) -> Tensor:
    """Return log(1 - chance)."""
    return torch.log1p(-chance.double().clamp(max=1 - 1e-12))


def pool_loss(
    users: Tensor,
    positives: Tensor,
    pool: Tensor,
    log_chance: Tensor,
    excluded: Tensor,
    weights: Tensor,
    scale: Tensor,
) -> Tensor:
    """Cross-entropy of picking each row's own item out of itself and a pool of negatives.

    A negative y scores s * scale - log p(y), which makes the pool's sum an unbiased guess of the catalogue's; the
    positive is uncorrected, since it is always there (sampled softmax, Bengio and Senecal 2008).

    Args:
        users: ``[rows, dim]``.
        positives: ``[rows, dim]``, the item each row went on to choose.
        pool: ``[pool, dim]``, distinct items.
        log_chance: ``[pool]``, log p(y) of each being in the pool.
        excluded: ``[rows, pool]``, bool: true where an item is no negative of that row: its positive, another target of
            its user, an equivalent, an item not available then.
        weights: ``[rows]``.
        scale: scalar.

    Returns: sum over rows of weight x loss in nats, a scalar.
    """
    own = own_score(users, positives, scale)
    others = log_sum_exp(users * scale, pool, -log_chance, excluded)
    return ((torch.logaddexp(own, others) - own) * weights).sum()


def catalogue_loss(
    users: Tensor, items: Tensor, targets: Tensor, weights: Tensor, scale: Tensor, excluded: Tensor | None = None
) -> Tensor:
    """Cross-entropy of picking each row's own item out of the whole catalogue: the exact softmax.

    Args:
        users: ``[rows, dim]``.
        items: ``[items, dim]``.
        targets: ``[rows]``, int64: row of ``items`` that each user chose.
        weights: ``[rows]``.
        scale: scalar.
        excluded: ``[rows, items]``, bool: true where an item is no negative of that row; the target never is excluded.

    Returns: sum over rows of weight x loss in nats, a scalar.
    """
    if excluded is not None:
        excluded = excluded.scatter(1, targets[:, None], False)
    own = own_score(users, F.embedding(targets, items), scale)
    whole = log_sum_exp(users * scale, items, None, excluded)
    return ((whole - own) * weights).sum()


def mined_loss(
    users: Tensor, positives: Tensor, mined: Tensor, absent: Tensor, weights: Tensor, scale: Tensor
) -> Tensor:
    """Cross-entropy of picking each row's own item out of itself and its mined negatives, uncorrected.

    Mined items are chosen for being near, so there is no chance to correct by: this is a second softmax beside the
    pool's, which alone stands for the catalogue.

    Args:
        users: ``[rows, dim]``.
        positives: ``[rows, dim]``.
        mined: ``[rows, mined, dim]``, each row's negatives.
        absent: ``[rows, mined]``, bool: true where a row has fewer.
        weights: ``[rows]``.
        scale: scalar.

    Returns: sum over rows of weight x loss in nats, a scalar; a row without mined negatives adds nothing.
    """
    own = own_score(users, positives, scale)
    scores = torch.einsum("rd,rmd->rm", users.float() * scale, mined.float())
    # Not -inf: a row without any negative would become NaN; exp(-1e4) is 0 all the same.
    others = scores.masked_fill(absent, -1e4).logsumexp(dim=1)
    return ((torch.logaddexp(own, others) - own) * weights).sum()


def taught_loss(
    users: Tensor, items: Tensor, teacher: Tensor, absent: Tensor, scale: Tensor, *, temperature: float
) -> Tensor:
    """How far each row's order of a list is from its teacher's: a divergence of their softmaxes.

    Row r is a moment and a list of items that the teacher, who reads user and item together, has scored for it
    (distillation: Hinton et al. 2015; of lists from a cross-encoder into two towers: RocketQAv2, Ren et al. 2021).

    Args:
        users: ``[lists, dim]``.
        items: ``[lists, length, dim]``.
        teacher: ``[lists, length]``, scores in nats.
        absent: ``[lists, length]``, bool: true past a list's end.
        scale: scalar, for the cosines.
        temperature: divides the teacher's scores.

    Returns: sum over rows of the divergence in nats, a scalar; 0 without rows.
    """
    with torch.autocast(users.device.type, enabled=False):  # a lesson is in its small differences
        student = torch.einsum("rd,rkd->rk", users.float() * scale, items.float())
        return listwise_kl(teacher / temperature, student, ~absent).sum()


def listwise_kl(teacher: Tensor, student: Tensor, kept: Tensor) -> Tensor:
    """Kullback-Leibler divergence of each list's softmax of ``student`` from that of ``teacher``.

    It is 0 where the scores differ by a constant of the list, else above; its gradient in a student's score is the
    student's chance of that item less the teacher's.

    Args:
        teacher: ``[lists, length]``, scores in nats.
        student: ``[lists, length]``, scores in nats.
        kept: ``[lists, length]``, bool, false where a list ends early.

    Returns: ``[lists]``, nats; 0 for an empty list.
    """
    # Not -inf: a list without any item would become NaN; exp(-1e4) is 0 all the same.
    wanted, found = (torch.log_softmax(one.float().masked_fill(~kept, -1e4), dim=1) for one in (teacher, student))
    return (wanted.exp() * (wanted - found)).masked_fill(~kept, 0.0).sum(dim=1)


def own_score(users: Tensor, positives: Tensor, scale: Tensor) -> Tensor:
    """Return the score of each row's positive, ``[rows]``, in float32 always."""
    return (users.float() * positives.float()).sum(dim=1) * scale


def log_sum_exp(users: Tensor, items: Tensor, bias: Tensor | None, excluded: Tensor | None) -> Tensor:
    """Return log sum over items of exp(user . item + bias), ``[rows]``, without the excluded ones.

    Under bf16 autocast scores and probabilities are bf16: on a processor that has it, four times faster than
    cross_entropy in float32, and off by at most .01 nats.

    Args:
        users: ``[rows, dim]``, scale applied.
        items: ``[items, dim]``.
        bias: ``[items]``.
        excluded: ``[rows, items]``, bool.
    """
    result: Tensor = _LogSumExp.apply(users, items, bias, excluded)  # type: ignore[no-untyped-call]
    return result


class _LogSumExp(torch.autograd.Function):
    """Keeps the probabilities, which are the gradient, and nothing else of size [rows, items]."""

    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, bias: Tensor | None, excluded: Tensor | None) -> Tensor:
        device = users.device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else users.dtype
        with torch.autocast(device, enabled=False):
            narrow_users, narrow_items = users.to(kind), items.to(kind)
            scores = narrow_users @ narrow_items.T
            if bias is not None:
                scores += bias.to(kind)
            if excluded is not None:
                # Not -inf: a row without any negative would become NaN; exp(-1e4) is 0 all the same.
                scores.masked_fill_(excluded, -1e4)
            top, place = scores.max(dim=1)
            chances = torch.softmax(scores, dim=1)
            whole = top.float() - chances.gather(1, place[:, None]).squeeze(1).float().log()
        ctx.save_for_backward(chances, narrow_users, narrow_items)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        chances, users, items = ctx.saved_tensors
        to_users = (chances @ items).float() * gradient[:, None]
        to_items = (chances.T @ (users * gradient[:, None].to(users.dtype))).float()
        return to_users, to_items, None, None
