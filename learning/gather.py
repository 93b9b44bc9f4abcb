"""Tensors of all ranks joined, with the gradient going back to the rank each row came from."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def ranks() -> int:
    """Return the number of ranks, 1 outside a distributed run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def leave_ranks() -> None:
    """End this process's part in a distributed run, so that what follows is done alone."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def gather(x: Tensor) -> Tensor:
    """Return the rows of all ranks, ``[sum of rows, ...]``, rank 0's first; each rank brings as many as it has.

    Unlike a plain all_gather the result carries gradients: a detached one gives wrong gradients to whatever made the
    rows (design, section 6). Rows must have one shape and type on all ranks, and either all or none of them ask for a
    gradient.
    """
    if ranks() == 1:
        return x
    joined: Tensor = _Gather.apply(x) if x.requires_grad else _joined(x)[0]  # type: ignore[no-untyped-call]
    return joined


def total(x: Tensor) -> Tensor:
    """Return the sum of a tensor over all ranks, without gradient."""
    summed = x.detach().clone()
    if ranks() > 1:
        dist.all_reduce(summed)
    return summed


def mean_of(weighted_sum: Tensor, count: Tensor) -> Tensor:
    """Return the mean loss of all ranks, without gradient: 0 where there was nothing to learn from.

    Args:
        weighted_sum: this rank's sum of losses, scalar.
        count: this rank's sum of weights, scalar.
    """
    return total(weighted_sum) / _whole(count)


def share_of_mean(weighted_sum: Tensor, count: Tensor) -> Tensor:
    """Return this rank's loss so that the mean of gradients over ranks is the gradient of the joined batch's mean.

    Args:
        weighted_sum: this rank's sum of losses, scalar.
        count: this rank's sum of weights, scalar.
    """
    return weighted_sum * ranks() / _whole(count)


def _whole(count: Tensor) -> Tensor:
    """Return the count of all ranks to divide by: a batch without any has a loss of 0, which must not become NaN."""
    whole = total(count)
    return whole.clamp(min=torch.finfo(whole.dtype).tiny)


def _joined(x: Tensor) -> tuple[Tensor, list[int]]:
    """Return all ranks' rows and how many each brought; all_gather wants equal shapes, so short parts travel padded."""
    mine = torch.tensor([len(x)], dtype=torch.int64, device=x.device)
    brought = [torch.empty_like(mine) for _ in range(ranks())]
    dist.all_gather(brought, mine)
    sizes = [int(size) for size in torch.cat(brought).tolist()]
    sent = torch.cat([x, x.new_zeros(max(sizes) - len(x), *x.shape[1:])])
    parts = [torch.empty_like(sent) for _ in sizes]
    dist.all_gather(parts, sent)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)]), sizes


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        joined, ctx.sizes = _joined(x)
        return joined

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        summed = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return torch.split(summed, ctx.sizes)[dist.get_rank()]
