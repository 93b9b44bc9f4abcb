"""From scores over the whole catalogue to lists, in one order everywhere: higher score first, then lower item code."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM

_BLOCK_CELLS = 1_000_000
"""Scores looked at together: 4 MB, which a processor's cache holds; larger blocks were five times slower."""


def rank_scores(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the best ``k`` items of each row with their scores, by (score desc, item asc).

    Args:
        scores: ``[requests, items]``, column i being item i; ``-inf`` keeps an item out of the list.
        k: length of the lists; lists of fewer items end with ``NO_ITEM`` and ``-inf``.

    Returns: items int32 and scores float32, each ``[requests, k]``.

    Raises:
        ValueError: if a score is not a number: such a list has no order.
    """
    rows, width = scores.shape
    items = np.full((rows, k), NO_ITEM, dtype=np.int32)
    ordered = np.full((rows, k), -np.inf, dtype=np.float32)
    kept = min(k, width)
    block = max(1, _BLOCK_CELLS // max(1, width))
    for start in range(0, rows, block) if kept else ():
        span = slice(start, start + block)
        items[span, :kept], ordered[span, :kept] = _rank_block(scores[span], kept)
    items[np.isneginf(ordered)] = NO_ITEM
    return items, ordered


def _rank_block(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    rows, width = scores.shape
    unordered = int(np.isnan(scores).sum())
    if unordered:
        raise ValueError(f"{unordered:,} of {scores.size:,} scores are NaN, and a list of them has no order")
    last = np.partition(scores, width - k, axis=1)[:, width - k]
    chosen = scores >= last[:, None]
    surplus = np.count_nonzero(chosen, axis=1) - k
    for row in np.flatnonzero(surplus):
        tied = np.flatnonzero(scores[row] == last[row])
        chosen[row, tied[len(tied) - surplus[row] :]] = False
    # flatnonzero goes through the items in order, and a stable sort leaves equal scores in it.
    items = np.flatnonzero(chosen).reshape(rows, k) - np.arange(rows)[:, None] * width
    best = np.take_along_axis(scores, items, axis=1)
    order = np.argsort(-best, axis=1, kind="stable")
    return np.take_along_axis(items, order, axis=1), np.take_along_axis(best, order, axis=1)
