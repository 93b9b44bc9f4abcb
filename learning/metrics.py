"""The measures of ``commerce.metrics`` on tensors, for use while a model trains.

torchmetrics classes: they sum over batches and, under DDP, over ranks (each request must reach one rank only), and
give the values that the NumPy functions give. Sources and clashes of terms stand beside those.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

ABSENT = 2**31 - 1
"""Rank of a relevant item that is not in the list."""


def find_ranks(ranked: Tensor, relevant: Tensor) -> Tensor:
    """Return where each relevant item stands, from 0; ``ABSENT`` where it is not listed or only padding.

    Args:
        ranked: int64 ``[batch, depth]``, item codes best first, -1 padded.
        relevant: int64 ``[batch, most]``, distinct in a row, -1 padded.

    Returns: int64 ``[batch, most]``.
    """
    ranks = torch.full_like(relevant, ABSENT)
    if not ranked.shape[1]:
        return ranks
    same = (ranked[:, :, None] == relevant[:, None, :]) & (relevant[:, None, :] >= 0)
    # argmax of equal values gives any of them, so the first place is sought as the smallest.
    places = torch.arange(ranked.shape[1], device=ranked.device)[None, :, None].expand_as(same)
    return places.masked_fill(~same, ABSENT).amin(dim=1)


class RankedMeasure(Metric):
    """Mean over requests of a measure of where the relevant items stand in the first ``k``."""

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    total: Tensor
    requests: Tensor

    def __init__(self, k: int, **options: Any) -> None:
        super().__init__(**options)
        self.k = k
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("requests", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, ranked: Tensor, relevant: Tensor, gains: Tensor | None = None) -> None:
        """Add a batch of requests.

        Args:
            ranked: int64 ``[batch, depth]``, item codes best first, -1 padded.
            relevant: int64 ``[batch, most]``, distinct in a row, -1 padded.
            gains: ``[batch, most]``, what each relevant item is worth to NDCG; 1 each when left out.

        Raises:
            ValueError: if a request has no relevant item, or the numbers of requests differ.
        """
        if len(ranked) != len(relevant):
            raise ValueError(f"{len(ranked)} ranked lists for {len(relevant)} requests; give one row per request")
        real = relevant >= 0
        empty = int((~real.any(dim=1)).sum())
        if empty:
            raise ValueError(
                f"{empty} of {len(relevant)} requests have no relevant item, so no measure is defined for them; "
                "leave them out"
            )
        worth = real.double() if gains is None else gains.double().masked_fill(~real, 0.0)
        self.total += self.values(find_ranks(ranked, relevant), worth).sum()
        self.requests += len(ranked)

    def values(self, ranks: Tensor, gains: Tensor) -> Tensor:
        """Return the measure of each request, float64 ``[batch]``.

        Args:
            ranks: int64 ``[batch, most]``, of each relevant item, ``ABSENT`` for padding.
            gains: float64 ``[batch, most]``, 0 for padding.
        """
        raise TypeError(f"{type(self).__name__} is not a measure; use Recall, NDCG, MRR or HitRate")

    def compute(self) -> Tensor:
        """Return the mean over all requests seen, float64; NaN before any."""
        return self.total / self.requests


class Recall(RankedMeasure):
    """(Relevant items in the first k) / (relevant items)."""

    def values(self, ranks: Tensor, gains: Tensor) -> Tensor:
        """Return recall per request."""
        return (ranks < self.k).sum(dim=1).double() / (gains > 0).sum(dim=1)


class HitRate(RankedMeasure):
    """1 where any relevant item is in the first k."""

    def values(self, ranks: Tensor, gains: Tensor) -> Tensor:
        """Return hit or miss per request."""
        return (ranks < self.k).any(dim=1).double()


class MRR(RankedMeasure):
    """1 / (place of the first relevant item), 0 beyond k."""

    def values(self, ranks: Tensor, gains: Tensor) -> Tensor:
        """Return the reciprocal rank per request."""
        first = ranks.amin(dim=1)
        return torch.where(first < self.k, 1.0 / (first.double() + 1.0), 0.0)


class NDCG(RankedMeasure):
    """Sum of gain / log2(place + 1) over the first k, divided by that of the ideal list."""

    def values(self, ranks: Tensor, gains: Tensor) -> Tensor:
        """Return NDCG per request."""
        gained = torch.where(ranks < self.k, gains / torch.log2(ranks.double() + 2.0), 0.0).sum(dim=1)
        best = gains.sort(dim=1, descending=True).values[:, : self.k]
        places = torch.arange(best.shape[1], device=ranks.device, dtype=torch.float64)
        return gained / (best / torch.log2(places + 2.0)).sum(dim=1)


class Coverage(Metric):
    """Share of the catalogue that stands in the first ``k`` of anyone's list.

    Args:
        k: cut-off.
        items: number of items; codes in ``ranked`` are below it.
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    shown: Tensor

    def __init__(self, k: int, items: int, **options: Any) -> None:
        super().__init__(**options)
        self.k, self.items = k, items
        self.add_state("shown", torch.zeros(items, dtype=torch.uint8), dist_reduce_fx="max")

    def update(self, ranked: Tensor) -> None:
        """Add a batch of lists, int64 ``[batch, depth]``, -1 padded."""
        top = ranked[:, : self.k].reshape(-1)
        self.shown[top[top >= 0]] = 1

    def compute(self) -> Tensor:
        """Return the share as float64."""
        return self.shown.sum().double() / self.items


def ranked_measures(at: Iterable[int]) -> MetricCollection:
    """Return recall, NDCG, MRR and hit rate at each cut-off, named as in reports: ``ndcg@10``."""
    measures = {"recall": Recall, "ndcg": NDCG, "mrr": MRR, "hit_rate": HitRate}
    # Compute groups would merge two measures whose states agree after the first batch, such as recall and hit rate
    # where every request has one relevant item, and never part them again.
    return MetricCollection(
        {f"{name}@{k}": kind(k) for k in at for name, kind in measures.items()}, compute_groups=False
    )
