"""Whether the promise holds where only some items may be shown, and from which share on they are looked at one by one.

Two kinds of filter are tried, over falling shares of items that pass: any items, drawn evenly, and all items on one
side of the catalogue (of a hyperplane), as the items of some categories would be. Both have to keep the promise, and
faster than exact search among the items that pass; from the first share where one does not, it is exact search.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retrieval.approximate import ApproximateSearch
from retrieval.catalogue import Catalogue
from retrieval.families import Effort
from retrieval.filters import ALWAYS_FROM, ALWAYS_UNTIL, NOTHING, Allowed
from retrieval.recall import Search, lower_bound, recalls_of, true_last
from retrieval.timing import seconds_per_query

if TYPE_CHECKING:
    from retrieval.promise import Promise

SHARES = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
"""Of items that pass, tried in turn."""
PUSHES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Multiples of the reach that a share seems to need, tried in turn."""
_QUERIES = 300


def measure_filters(
    catalogue: Catalogue, index: Any, effort: Effort, queries: NDArray[np.float32], promise: Promise
) -> tuple[list[dict[str, Any]], list[tuple[float, float]]]:
    """Return what was measured for each share, and the pairs (scale, push) that ``ApproximateSearch`` takes."""
    random = np.random.default_rng([promise.seed, 6])
    queries = queries[:_QUERIES]
    measured: list[dict[str, Any]] = []
    pushes: list[tuple[float, float]] = []
    for share in SHARES:
        shops = [_Shop(kind, mask, catalogue, queries, promise) for kind, mask in _filters(catalogue, share, random)]
        last = pushes[-1][1] if pushes else 1.0
        for push in (push for push in PUSHES if push >= last):
            # A little beyond the share, for a filter passes a few items more or less.
            found = [shop.measure(index, effort, (1.01 / share, push)) for shop in shops]
            if all(one["low"] >= promise.target_recall for one in found):
                break
        measured += [{"share": share, "push": push, **one} for one in found]
        if any(one["low"] < promise.target_recall or one["ms"] >= one["exact_ms"] for one in found):
            break
        pushes.append((1.01 / share, push))
    return measured, pushes


def _filters(
    catalogue: Catalogue, share: float, random: np.random.Generator
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield kinds of filter and their masks, ``[rows]``."""
    side = catalogue.vectors @ random.normal(size=catalogue.dim).astype(np.float32)
    yield "any items", random.random(len(catalogue)) < share
    yield "one side", side > np.quantile(side, 1.0 - share)


class _Shop:
    """Queries behind a filter that all share."""

    def __init__(
        self,
        kind: str,
        mask: NDArray[np.bool_],
        catalogue: Catalogue,
        queries: NDArray[np.float32],
        promise: Promise,
    ) -> None:
        self._kind, self._catalogue, self._queries, self._promise = kind, catalogue, queries, promise
        self._since = np.full(int(catalogue.ids.max()) + 1, ALWAYS_FROM)
        self._since[catalogue.ids[~mask]] = ALWAYS_UNTIL
        self._until = np.full(len(self._since), ALWAYS_UNTIL)
        self._last = true_last(catalogue, queries, promise.at_k, mask)
        self._k = min(promise.at_k, int(mask.sum()))

    def measure(self, index: Any, effort: Effort, push: tuple[float, float]) -> dict[str, Any]:
        """Return recall and time beside those of exact search among what passes."""
        promise = self._promise
        near, each = (
            _Through(ApproximateSearch(self._catalogue, index, effort, promise.at_k, pushes), self._since, self._until)
            for pushes in ([push], [])
        )
        _, scores = near.search(self._queries, promise.at_k, None)
        recall = lower_bound(recalls_of(scores, self._last, self._k), promise.seed)
        ours, exact = seconds_per_query([near, each], self._queries, promise.at_k, promise.tune_for, rounds=3)
        return {
            "filter": self._kind,
            "recall": round(recall.mean, 5),
            "low": round(recall.low, 5),
            "ms": round(1e3 * ours, 4),
            "exact_ms": round(1e3 * exact, 4),
        }


class _Through:
    """A search through a filter that all share."""

    def __init__(self, search: Search, since: NDArray[np.int64], until: NDArray[np.int64]) -> None:
        self._search, self._since, self._until = search, since, until

    def search(
        self, vectors: NDArray[np.float32], k: int, allowed: Allowed | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        assert allowed is None
        moment = np.zeros(len(vectors), dtype=np.int64)
        return self._search.search(vectors, k, Allowed(self._since, self._until, moment, [NOTHING] * len(vectors)))
