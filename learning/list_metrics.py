"""The measures of ``commerce.diversity`` and ``commerce.exposure`` on tensors, for use while a model trains.

torchmetrics classes as in ``learning.metrics``. ``ranked`` is int64 ``[batch, depth]``, best first, -1 padded. What is
known of items is given once, by item code, and moves with the metric from device to device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class ItemCounts(Metric):
    """In how many lists each item stands among the first ``k``.

    Args:
        k: cut-off.
        items: number of items; codes in ``ranked`` are below it.
    """

    full_state_update = False
    is_differentiable = False
    shown: Tensor

    def __init__(self, k: int, items: int, **options: Any) -> None:
        super().__init__(**options)
        self.k, self.items = k, items
        self.add_state("shown", torch.zeros(items, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, ranked: Tensor) -> None:
        """Add a batch of lists."""
        top = ranked[:, : self.k].reshape(-1)
        self.shown += torch.bincount(top[top >= 0], minlength=self.items)

    def compute(self) -> Tensor:
        """Return the counts, int64 ``[items]``."""
        return self.shown


class Coverage(ItemCounts):
    """Share of the catalogue that stands in the first ``k`` of anyone's list."""

    higher_is_better = True

    def compute(self) -> Tensor:
        """Return the share as float64."""
        return (self.shown > 0).sum().double() / self.items


class Gini(ItemCounts):
    """How unequally items are shown among the first ``k``: 0 all alike, near 1 a few get everything."""

    higher_is_better = False

    def compute(self) -> Tensor:
        """Return the coefficient as float64; 0 where nothing was shown."""
        ordered = self.shown.sort().values.double()
        place = torch.arange(1, self.items + 1, device=ordered.device, dtype=torch.float64)
        return (ordered @ (2.0 * place - self.items - 1.0)) / (self.items * ordered.sum()).clamp(min=1.0)


class ExposureParity(Metric):
    """Exposure per item of the group that has least of it, over that of the group that has most.

    Args:
        k: cut-off.
        group: int64 ``[items]``, code of each item's group, below 0 for none.
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    group: Tensor
    sizes: Tensor
    exposure: Tensor

    def __init__(self, k: int, group: Tensor, **options: Any) -> None:
        super().__init__(**options)
        self.k = k
        self.register_buffer("group", torch.cat([group, group.new_full((1,), -1)]))  # last: padding
        self.register_buffer("sizes", torch.bincount(group[group >= 0]))
        self.add_state("exposure", torch.zeros(len(self.sizes), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, ranked: Tensor) -> None:
        """Add a batch of lists."""
        of_group = self.group[ranked[:, : self.k]]
        places = torch.arange(of_group.shape[1], device=ranked.device, dtype=torch.float64) + 2.0
        weights = (1.0 / torch.log2(places)).expand(of_group.shape)
        counted = of_group >= 0
        self.exposure.index_add_(0, of_group[counted], weights[counted])

    def compute(self) -> Tensor:
        """Return the ratio as float64; 1 where nothing was shown."""
        sizes = self.sizes
        each = self.exposure[sizes > 0] / sizes[sizes > 0]
        return torch.where(each.max() > 0, each.min() / each.max(), 1.0)


class ListMeasure(Metric):
    """Mean over requests of what the first ``k`` of a list are made of."""

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    total: Tensor
    requests: Tensor
    known: Tensor

    def __init__(self, k: int, known: Tensor, **options: Any) -> None:
        """Measure lists.

        Args:
            k: cut-off.
            known: ``[items, ...]``, what the measure asks of an item.
            options: torchmetrics' own.
        """
        super().__init__(**options)
        self.k = k
        self.register_buffer("known", torch.cat([known, torch.zeros_like(known[:1])]))  # last: padding
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("requests", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, ranked: Tensor) -> None:
        """Add a batch of lists."""
        top = ranked[:, : self.k]
        self.total += self.values(self.known[top], top >= 0).sum()
        self.requests += len(ranked)

    def values(self, known: Tensor, listed: Tensor) -> Tensor:
        """Return the measure of each list, float64 ``[batch]``.

        Args:
            known: ``[batch, k, ...]``, of the listed items.
            listed: ``[batch, k]``, bool, false for padding.
        """
        raise TypeError(f"{type(self).__name__} is not a measure; use one made of it, Novelty say")

    def compute(self) -> Tensor:
        """Return the mean over all requests seen, float64; NaN before any."""
        return self.total / self.requests


class Novelty(ListMeasure):
    """Mean self-information, in bits; made with ``[items]`` events of each item before the window."""

    def __init__(self, k: int, events: Tensor, **options: Any) -> None:
        counted = events.double() + 1.0
        super().__init__(k, -torch.log2(counted / counted.sum()), **options)

    def values(self, known: Tensor, listed: Tensor) -> Tensor:
        """Return novelty per list."""
        return _mean(known, listed)


class TailShare(ListMeasure):
    """Share of tail items; made with ``[items]`` bool, whether an item is of the tail."""

    def values(self, known: Tensor, listed: Tensor) -> Tensor:
        """Return the tail's share per list."""
        return _mean(known.double(), listed)


class CategoryDiversity(ListMeasure):
    """Share of pairs of two categories; made with ``[items]`` int64 codes, below 0 for an item like no other."""

    def values(self, known: Tensor, listed: Tensor) -> Tensor:
        """Return category diversity per list."""
        same = (known[:, :, None] == known[:, None, :]) & (known >= 0)[:, :, None]
        return _of_pairs((~same).double(), listed)


class VectorDiversity(ListMeasure):
    """Mean of 1 - cosine over pairs; made with ``[items, dim]`` of unit length."""

    def values(self, known: Tensor, listed: Tensor) -> Tensor:
        """Return vector diversity per list."""
        vectors = known.double()
        return _of_pairs(1.0 - vectors @ vectors.transpose(1, 2), listed)


def _mean(values: Tensor, listed: Tensor) -> Tensor:
    return (values * listed).sum(dim=1) / listed.sum(dim=1).clamp(min=1)


def _of_pairs(distance: Tensor, listed: Tensor) -> Tensor:
    """Return the mean distance of the pairs of listed items, 0 without any; ``distance`` is ``[batch, k, k]``."""
    pairs = (listed[:, :, None] & listed[:, None, :]).triu(diagonal=1)
    return (distance * pairs).sum(dim=(1, 2)) / pairs.sum(dim=(1, 2)).clamp(min=1)
