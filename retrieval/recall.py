"""How much of the true list an index brings up, and how sure of it a number of queries makes us.

Recall of a query is the share of its list of k that is as good as the true one: items that score at least what the
k-th best scores. (So of two equal products, either is right.) The lower bound is the 5th percentile of the mean recall
over 2,000 bootstrap resamples of the queries (Efron 1979): were other queries drawn from the same requests, the mean
would be at least that in 95 of 100 cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from retrieval.catalogue import Catalogue
from retrieval.filters import Allowed

BOUND = "one-sided 95%: 5th percentile of 2,000 bootstrap means over queries"
LEAST_QUERIES = 50
"""With fewer, percentiles of the bootstrap are much too narrow (that of a t interval is a tenth wider at 20)."""
_RESAMPLES = 2000
_BLOCK = 1024


class Search(Protocol):
    """Answers queries with lists of item ids and scores."""

    def search(
        self, vectors: NDArray[np.float32], k: int, allowed: Allowed | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return ids and scores, each ``[queries, k]``."""
        ...


@dataclass(frozen=True)
class Recall:
    """Mean recall over queries."""

    mean: float
    low: float
    """Its lower bound."""
    queries: int


def lower_bound(recalls: NDArray[np.floating], seed: int = 0) -> Recall:
    """Return mean and lower bound of recalls, ``[queries]``."""
    means = _resamples(len(recalls), seed) @ recalls.astype(np.float32)
    return Recall(float(recalls.mean()), float(np.percentile(means, 5.0)), len(recalls))


def best_scores(
    catalogue: Catalogue, queries: NDArray[np.float32], k: int, mask: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Return what the best items score, ``[queries, k]`` and best first, by exact search; fewer where there are fewer.

    Args:
        catalogue: whose tombstones do not count.
        queries: ``[queries, dim]``.
        k: length of the lists.
        mask: ``[rows]`` that count; all that are alive when left out.
    """
    mask = catalogue.alive if mask is None else mask & catalogue.alive
    vectors = catalogue.vectors if mask.all() else catalogue.vectors[mask]
    k = min(k, len(vectors))
    scores = np.empty((len(queries), k), dtype=np.float32)
    for start in range(0, len(queries), _BLOCK):
        part = slice(start, start + _BLOCK)
        scores[part], _ = faiss.knn(queries[part], vectors, k, metric=faiss.METRIC_INNER_PRODUCT)
    return scores


def true_last(
    catalogue: Catalogue, queries: NDArray[np.float32], k: int, mask: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Return what the k-th best item scores, ``[queries]``, less float32 rounding; arguments as of ``best_scores``."""
    last = best_scores(catalogue, queries, k, mask)[:, -1]
    return (last - 2.0 * catalogue.rounding(queries)).astype(np.float32)


def recalls_of(scores: NDArray[np.float32], last: NDArray[np.float32], k: int) -> NDArray[np.float64]:
    """Return the recall of each query.

    Args:
        scores: ``[queries, any]`` of the distinct items found; ``-inf`` for none.
        last: as ``true_last`` gives it.
        k: of the true lists: the least of their length and the items there are.
    """
    recalls: NDArray[np.float64] = np.minimum((scores >= last[:, None]).sum(axis=1), k) / k
    return recalls


def measure(search: Search, catalogue: Catalogue, queries: NDArray[np.float32], k: int, seed: int = 0) -> Recall:
    """Return the recall of lists of ``k`` out of all items, as they are answered.

    Args:
        search: that answers.
        catalogue: of the same items.
        queries: ``[queries, dim]``.
        k: length of the lists.
        seed: of the bootstrap.
    """
    _, scores = search.search(queries, k, None)
    return lower_bound(recalls_of(scores, true_last(catalogue, queries, k), min(k, catalogue.items)), seed)


@lru_cache(maxsize=4)
def _resamples(queries: int, seed: int) -> NDArray[np.float32]:
    """Return ``[2000, queries]``: how often each resample draws each query, divided by their number."""
    random = np.random.default_rng([seed, 5])
    counts = random.multinomial(queries, np.full(queries, 1.0 / queries), size=_RESAMPLES)
    return (counts / queries).astype(np.float32)
