"""How good ranked lists are: one short section per measure, each with its source and where its name clashes.

A list is a row of ``ranked``, int32 ``[requests, depth]``, best first, ``NO_ITEM`` where it ends early. What the user
then chose is ``Relevant``. ``find`` notes once where each relevant item stands; every measure reads those ranks and
answers per request, float64 ``[requests]``, so that averages, segments and intervals are made from the same numbers.
An item counts once, at its first place. A request that no list came for scores 0: silence is not skipped.
Lists come ordered: ties of scores are broken before, by (score, then item code), in ``commerce.ranked_lists``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ABSENT = np.iinfo(np.int32).max
"""Rank of a relevant item that is not in the list."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Relevant:
    """The items each request should have been shown; those of request r are ``items[offsets[r]:offsets[r + 1]]``."""

    offsets: NDArray[np.int64]
    """``[requests + 1]``."""
    items: NDArray[np.int32]
    """``[relevant]``, distinct within a request."""
    gains: NDArray[np.float32]
    """``[relevant]``, positive: what one is worth, as ``targets`` says."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> NDArray[np.int64]:
        """Relevant items per request, ``[requests]``."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Request of each relevant item, ``[relevant]``."""
        return np.repeat(np.arange(len(self)), self.counts)

    def only(self, keep: NDArray[np.bool_]) -> Relevant:
        """Return the relevant items for which ``keep`` ([relevant]) is true; requests may end up with none."""
        counts = np.bincount(self.rows[keep], minlength=len(self))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return Relevant(offsets, self.items[keep], self.gains[keep])

    def of(self, requests: NDArray[np.bool_]) -> Relevant:
        """Return the relevant items of the requests for which ``requests`` ([requests]) is true, and those alone."""
        flat = np.repeat(requests, self.counts)
        offsets = np.concatenate([[0], np.cumsum(self.counts[requests])]).astype(np.int64)
        return Relevant(offsets, self.items[flat], self.gains[flat])


@dataclass(frozen=True)
class Found:
    """Where each relevant item stands in its request's list: ``ranks`` int32 ``[relevant]``, from 0, or ``ABSENT``."""

    ranks: NDArray[np.int32]
    relevant: Relevant

    def __len__(self) -> int:
        return len(self.relevant)

    def only(self, keep: NDArray[np.bool_]) -> Found:
        """Return what remains when only some relevant items count (``[relevant]``); emptied requests go."""
        fewer = self.relevant.only(keep)
        return Found(self.ranks[keep], fewer.of(fewer.counts > 0))

    def of(self, requests: NDArray[np.bool_]) -> Found:
        """Return some requests (``[requests]``) alone."""
        return Found(self.ranks[np.repeat(requests, self.relevant.counts)], self.relevant.of(requests))


def find(ranked: NDArray[np.int32], relevant: Relevant, block: int = 4_096) -> Found:
    """Note where each relevant item stands.

    Args:
        ranked: ``[requests, depth]``, best first, ``NO_ITEM`` padded.
        relevant: at least one item for every request.
        block: relevant items looked for together; bounds memory, changes nothing.

    Raises:
        ValueError: if the numbers of requests differ, a request has no relevant item, or a gain is not positive.
    """
    if len(ranked) != len(relevant):
        raise ValueError(f"{len(ranked):,} ranked lists for {len(relevant):,} requests; give one row per request")
    empty = np.flatnonzero(relevant.counts == 0)
    if len(empty):
        raise ValueError(
            f"{len(empty):,} of {len(relevant):,} requests have no relevant item (first: rows {empty[:3].tolist()}), "
            "so no measure is defined for them; drop them and count them"
        )
    if not np.all(relevant.gains > 0):
        raise ValueError(f"gains must be positive, the smallest is {relevant.gains.min()}; leave such items out")
    rows = relevant.rows
    ranks = np.full(len(rows), ABSENT, dtype=np.int32)
    for start in range(0, len(rows) if ranked.shape[1] else 0, block):
        span = slice(start, start + block)
        same = ranked[rows[span]] == relevant.items[span, None]
        place = same.argmax(axis=1)  # the first of several
        ranks[span] = np.where(same[np.arange(len(place)), place], place, ABSENT)
    return Found(ranks, relevant)


# Recall@k: share of the relevant items among the first k. Cleverdon 1967.
# Clash: some libraries divide by min(k, relevant). With one relevant item a request it equals the hit rate, which
# papers on leave-last-out then call either name.


def recall(found: Found, k: int) -> Floats:
    """Return (relevant items in the first k) / (relevant items)."""
    return _sum(found, (found.ranks < k).astype(np.float64)) / found.relevant.counts


# Precision@k: share of the first k that is relevant. Cleverdon 1967.
# Always divided by k: places that a short list leaves empty are wasted. Clash: some divide by the list's own length.


def precision(found: Found, k: int) -> Floats:
    """Return (relevant items in the first k) / k."""
    return _sum(found, (found.ranks < k).astype(np.float64)) / k


# R-precision: precision at place R, R being the request's number of relevant items. Buckley & Voorhees 2000.
# It has no cut-off of its own; where R is beyond the depth of the lists, what lies there counts as missed.


def r_precision(found: Found) -> Floats:
    """Return (relevant items in the first R) / R, R being the number of relevant items of the request."""
    counts = found.relevant.counts
    return _sum(found, (found.ranks < np.repeat(counts, counts)).astype(np.float64)) / counts


# Hit rate@k: whether any relevant item is among the first k. Deshpande & Karypis 2004.
# Clash: also called success@k; "hit ratio" is recall in some papers.


def hit_rate(found: Found, k: int) -> Floats:
    """Return 1 where any relevant item is in the first k, else 0."""
    return (_first(found) < k).astype(np.float64)


# MRR@k: one over the place of the first relevant item, 0 beyond k. Voorhees 1999, TREC-8.
# Clash: without a cut-off the tail adds a little; so the k is always named here.


def mrr(found: Found, k: int) -> Floats:
    """Return 1 / (place of the first relevant item, from 1), 0 where it is beyond k."""
    first = _first(found)
    return np.where(first < k, 1.0 / (first + 1.0), 0.0).astype(np.float64)


# MAP@k: mean over the relevant items of the precision at their places, 0 for those beyond k. Buckley & Voorhees 2000.
# Divided by the number of relevant items, as trec_eval's map_cut and ranx do, so a request with more than k of them
# cannot reach 1. Clash: many recommender libraries divide by min(k, relevant), which is never smaller.


def average_precision(found: Found, k: int) -> Floats:
    """Return the sum of precision at each hit in the first k, over the number of relevant items."""
    rows, counts = found.relevant.rows, found.relevant.counts
    order = np.lexsort((found.ranks, rows))
    ranks = found.ranks[order].astype(np.float64)
    nth = np.arange(len(ranks)) - np.repeat(found.relevant.offsets[:-1], counts) + 1.0
    hits = np.where(ranks < k, nth / (ranks + 1.0), 0.0)
    return np.bincount(rows, weights=hits, minlength=len(found)) / counts


# NDCG@k: discounted gain over the ideal list's, discount 1 / log2(place + 1). Järvelin & Kekäläinen 2002.
# Gains are taken linearly, as `targets` gave them: with targets {cart: .5, purchase: 1} a purchase counts twice a cart.
# Clash: web search gains 2^grade - 1 (Burges et al. 2005); papers on recommenders mostly mean `binary_ndcg`. All agree
# where every gain is 1. The ideal list holds the best min(k, relevant) items, also those that retrieval did not reach.


def ndcg(found: Found, k: int) -> Floats:
    """Return the sum of gain / log2(place + 1) over the first k, divided by that of the ideal list."""
    relevant = found.relevant
    gains: Floats = relevant.gains.astype(np.float64)
    gained = np.where(found.ranks < k, gains * discount(found.ranks), 0.0)
    order = np.lexsort((-gains, relevant.rows))
    nth = np.arange(len(order)) - np.repeat(relevant.offsets[:-1], relevant.counts)
    ideal = np.where(nth < k, gains[order] * discount(nth), 0.0)
    return _sum(found, gained) / _sum(found, ideal)


def binary_ndcg(found: Found, k: int) -> Floats:
    """Return NDCG where every relevant item gains 1, whatever its target."""
    ideal = np.concatenate([[0.0], np.cumsum(discount(np.arange(k)))])
    gained = np.where(found.ranks < k, discount(found.ranks), 0.0)
    best: Floats = ideal[np.minimum(k, found.relevant.counts)]
    return _sum(found, gained) / best


RANKED = {
    "recall": recall,
    "precision": precision,
    "ndcg": ndcg,
    "binary_ndcg": binary_ndcg,
    "mrr": mrr,
    "hit_rate": hit_rate,
    "map": average_precision,
}
"""Measures of where the relevant items stand, by the name that reports use: ``recall@10``."""

UNCUT = {"r_precision": r_precision}
"""Those without a cut-off."""


def _sum(found: Found, values: NDArray[np.floating]) -> Floats:
    return np.bincount(found.relevant.rows, weights=values, minlength=len(found)).astype(np.float64)


def _first(found: Found) -> Floats:
    """Return the best rank of any relevant item, ``[requests]``."""
    if not len(found):
        return np.empty(0)
    # reduceat would answer nonsense for a request without relevant items; find has refused those.
    return np.minimum.reduceat(found.ranks, found.relevant.offsets[:-1]).astype(np.float64)


def discount(ranks: NDArray[np.int32] | NDArray[np.int64]) -> Floats:
    """Return 1 / log2(place + 1) of ranks, which count from 0."""
    return 1.0 / np.log2(ranks.astype(np.float64) + 2.0)
