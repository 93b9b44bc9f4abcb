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
        raise TypeError(f"{type(self).__name__} is not a measure; use one made of it, Recall say")

    def compute(self) -> Tensor:
        """Return the mean over all requests seen, float64; NaN before any."""
        return self.total / self.requests


class Recall(RankedMeasure):
    """(Relevant items in the first k) / (relevant items)."""

    def values(self, ranks: Tensor, gains: Tensor) -> Tensor:
        """Return recall per request."""
        return (ranks < self.k).sum(dim=1).double() / (gains > 0).sum(dim=1)


class Precision(RankedMeasure):
    """(Relevant items in the first k) / k."""

    def values(self, ranks: Tensor, gains: Tensor) -> Tensor:
        """Return precision per request."""
        return (ranks < self.k).sum(dim=1).double() / self.k


class RPrecision(RankedMeasure):
    """(Relevant items in the first R) / R, R being the request's number of relevant items; ``k`` is not used."""

    def __init__(self, k: int = 0, **options: Any) -> None:
        super().__init__(k, **options)

    def values(self, ranks: Tensor, gains: Tensor) -> Tensor:
        """Return R-precision per request."""
        relevant = (gains > 0).sum(dim=1, keepdim=True)
        return ((ranks < relevant).sum(dim=1, keepdim=True).double() / relevant).squeeze(1)


class MAP(RankedMeasure):
    """Sum of the precision at each hit in the first k, over the number of relevant items."""

    def values(self, ranks: Tensor, gains: Tensor) -> Tensor:
        """Return average precision per request."""
        ordered = ranks.sort(dim=1).values  # padding stands last, as ABSENT
        nth = torch.arange(1, ranks.shape[1] + 1, device=ranks.device, dtype=torch.float64)
        hits = torch.where(ordered < self.k, nth / (ordered.double() + 1.0), 0.0)
        return hits.sum(dim=1) / (gains > 0).sum(dim=1)


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


class BinaryNDCG(NDCG):
    """NDCG where every relevant item gains 1."""

    def values(self, ranks: Tensor, gains: Tensor) -> Tensor:
        """Return binary NDCG per request."""
        return super().values(ranks, (gains > 0).double())


CUT = {
    "recall": Recall,
    "precision": Precision,
    "ndcg": NDCG,
    "binary_ndcg": BinaryNDCG,
    "mrr": MRR,
    "hit_rate": HitRate,
    "map": MAP,
}
"""As ``commerce.metrics.RANKED``."""


def ranked_measures(at: Iterable[int]) -> MetricCollection:
    """Return every measure at each cut-off, named as in reports, ``ndcg@10``, and R-precision, which has none."""
    # Compute groups would merge two measures whose states agree after the first batch, such as recall and hit rate
    # where every request has one relevant item, and never part them again.
    cut = {f"{name}@{k}": kind(k) for k in at for name, kind in CUT.items()}
    return MetricCollection({**cut, "r_precision": RPrecision()}, compute_groups=False)
