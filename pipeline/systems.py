"""The ranked lists of every system that is measured, all under the same terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from commerce.histories import Histories
from commerce.ranked_lists import rank_scores
from commerce.records import Requests
from commerce.seen import seen_pairs
from retrieval.sources import empty

Lists = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Items and scores, ``[requests, depth]`` each, best first, ``NO_ITEM`` and -inf padded."""

_BLOCK_CELLS = 8_000_000
"""Requests x items scored at once: 32 MB of scores."""


@dataclass(frozen=True)
class Terms:
    """Whom to answer, and what may be listed: the same for every system."""

    requests: Requests
    histories: Histories
    available_from: NDArray[np.int64]
    """``[items]``, microseconds."""
    available_until: NDArray[np.int64]
    """``[items]``, microseconds, itself excluded."""
    seen_by: tuple[str, ...]
    """Actions by which a user has had an item, so that it may not be listed; empty where repeats are allowed."""
    depth: int
    """Items in a list."""

    @property
    def items(self) -> int:
        """Number of items, available or not."""
        return len(self.available_from)

    def blocks(self) -> Iterator[slice]:
        """Yield slices of the requests whose scores over all items fit the memory set aside."""
        size = max(1, _BLOCK_CELLS // max(1, self.items))
        for start in range(0, len(self.requests), size):
            yield slice(start, min(start + size, len(self.requests)))

    def seen(self, rows: slice) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return (row from the slice's start, item) pairs that may not be listed because the user had the item."""
        if not self.seen_by:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32)
        return seen_pairs(self.histories, self.requests.user[rows], self.requests.history_end[rows], self.seen_by)

    def had(self, rows: slice, row: NDArray[np.integer], item: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return whether each item may not be listed for its row (from the slice's start), in the shape of both."""
        seen_row, seen_item = self.seen(rows)
        keys = row.astype(np.int64) * self.items + item
        if not len(seen_row):
            return np.zeros(keys.shape, dtype=bool)
        seen = seen_row * self.items + seen_item  # ascending, as seen_pairs sorts
        found: NDArray[np.bool_] = seen[np.minimum(np.searchsorted(seen, keys), len(seen) - 1)] == keys
        return found

    def away(self, rows: slice) -> NDArray[np.bool_] | None:
        """Return ``[rows, items]``: which items were not available at the request's moment; None where all were."""
        moments = self.requests.time[rows]
        if self.available_from.max() <= moments.min() and moments.max() < self.available_until.min():
            return None
        return (self.available_from > moments[:, None]) | (self.available_until <= moments[:, None])


def rank_vectors(terms: Terms, items: NDArray[np.float32], users: NDArray[np.float32]) -> Lists:
    """Rank every item for every request by the inner product of their vectors, exactly.

    Args:
        terms: the requests and what may be listed.
        items: ``[items, dim]``.
        users: ``[requests, dim]``.
    """
    listed, scored = empty(len(terms.requests), terms.depth)
    columns = np.ascontiguousarray(items.T)
    for rows in terms.blocks():
        scores = users[rows] @ columns
        away = terms.away(rows)
        if away is not None:
            scores[away] = -np.inf
        row, item = terms.seen(rows)
        scores[row, item] = -np.inf
        listed[rows], scored[rows] = rank_scores(scores, terms.depth)
    return listed, scored


def without_seen(terms: Terms, items: NDArray[np.int32], scores: NDArray[np.float32]) -> Lists:
    """Take items that users had out of longer lists, ``[requests, any]``, and return the first ``terms.depth`` left."""
    listed, scored = empty(len(items), terms.depth)
    for rows in terms.blocks():
        part = items[rows]
        keep = (part != NO_ITEM) & ~terms.had(rows, np.arange(len(part))[:, None], part)
        # A stable sort by "is left out" moves what stays to the front and keeps its order.
        order = np.argsort(~keep, axis=1, kind="stable")[:, : terms.depth]
        stays = np.take_along_axis(keep, order, axis=1)
        width = order.shape[1]
        listed[rows, :width] = np.where(stays, np.take_along_axis(part, order, axis=1), NO_ITEM)
        scored[rows, :width] = np.where(stays, np.take_along_axis(scores[rows], order, axis=1), -np.inf)
    return listed, scored


def check_lists(name: str, listed: NDArray[np.int32], terms: Terms, variants: NDArray[np.int32] | None = None) -> None:
    """Refuse lists that break the terms, so that no system can win by it.

    Args:
        name: of the system.
        listed: ``[requests, depth]``.
        terms: that all systems keep to.
        variants: ``[items]``, each item's group of variants, where the system may list one of a group only.

    Raises:
        ValueError: if a list holds an item twice, one not available at the request's moment, one the user had, or
            two of a group of variants.
    """
    for rows in terms.blocks():
        part = np.sort(listed[rows], axis=1)
        row, place = np.nonzero(part != NO_ITEM)
        item = part[row, place].astype(np.int64)
        moments = terms.requests.time[rows][row]
        away = (terms.available_from[item] > moments) | (terms.available_until[item] <= moments)
        faults = {
            "twice": int(((part[:, 1:] == part[:, :-1]) & (part[:, 1:] != NO_ITEM)).sum()),
            "while not available": int(away.sum()),
            "although the user had it": int(terms.had(rows, row, item).sum()),
        }
        if variants is not None:
            groups = row * len(variants) + variants[item]
            faults["beside a variant of it"] = len(groups) - len(np.unique(groups))
        for fault, count in faults.items():
            if count:
                raise ValueError(
                    f"system {name} lists an item {fault}, {count:,} times in requests {rows.start:,} to "
                    f"{rows.stop - 1:,}; the stage that ranked it must filter as evaluate does"
                )
