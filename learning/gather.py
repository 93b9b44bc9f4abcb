"""Tensors of all ranks joined, with the gradient going back to the rank each row came from."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def ranks() -> int:
    """Return the number of ranks, 1 outside a distributed run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather(x: Tensor) -> Tensor:
    """Return the rows of all ranks, ``[ranks * rows, ...]``, rank 0's first; every rank must bring equally many.

    Unlike a plain all_gather the result carries gradients: a detached one gives wrong gradients to whatever made the
    rows (design, section 6).
    """
    if ranks() == 1:
        return x
    joined: Tensor = _Gather.apply(x) if x.requires_grad else _joined(x)  # type: ignore[no-untyped-call]
    return joined


def total(x: Tensor) -> Tensor:
    """Return the sum of a tensor over all ranks, without gradient."""
    summed = x.detach().clone()
    if ranks() > 1:
        dist.all_reduce(summed)
    return summed


def share_of_mean(weighted_sum: Tensor, count: Tensor) -> Tensor:
    """Return this rank's loss so that the mean of gradients over ranks is the gradient of the joined batch's mean.

    Args:
        weighted_sum: this rank's sum of losses, scalar.
        count: this rank's sum of weights, scalar.
    """
    return weighted_sum * ranks() / total(count)


def _joined(x: Tensor) -> Tensor:
    parts = [torch.empty_like(x) for _ in range(ranks())]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        return _joined(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        summed = gradient.contiguous()
        dist.all_reduce(summed)
        first = dist.get_rank() * int(ctx.rows)
        return summed[first : first + ctx.rows]
