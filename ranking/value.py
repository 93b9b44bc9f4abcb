"""Order by expected value: what an item would bring, by its probabilities, its price and its bid. NumPy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ranking.fusion import reorder
from ranking.probabilities import Probabilities

VALUES = {"purchase": "purchase", "revenue": "purchase", "bid": "view"}
"""What may be looked for -> the action whose probability it rests on: a sale, its price, or a paid view."""


def expected_value(
    value: str, probabilities: NDArray[np.floating], model: Probabilities, worth: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return what each candidate is expected to bring, in the shape of all but the last axis of ``probabilities``.

    Args:
        value: one of ``VALUES``.
        probabilities: ``[..., actions]``, as ``model`` tells them.
        model: whose actions these are.
        worth: ``[...]``: the candidates' prices or bids, NaN where unknown; not read for ``purchase``.

    An item without a bid pays nothing. One without a price counts with the median price of its list: that it sells is
    known, for how much is not.
    """
    chance = probabilities[..., model.column(VALUES[value])]
    if value == "purchase":
        return np.asarray(chance, dtype=np.float64)
    known = np.isfinite(worth)
    if value == "bid":
        return np.asarray(chance * np.where(known, worth, 0.0))
    middle = np.array([np.median(row[there]) if there.any() else 1.0 for row, there in zip(worth, known, strict=True)])
    return np.asarray(chance * np.where(known, worth, middle[:, None]))


def order_by_value(
    items: NDArray[np.int32], scores: NDArray[np.float32], values: NDArray[np.floating], depth: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Put the first ``depth`` items of each list in the order of their expected values; the others keep their places.

    Args:
        items: ``[requests, candidates]``, best first, ``NO_ITEM`` padded.
        scores: ``[requests, candidates]``.
        values: ``[requests, candidates]``, of the same items.
        depth: items that are re-ordered.

    Returns: items, and what falls along them: expected values, and below ``depth`` scores moved beneath these.
    """
    head = np.where(items[:, :depth] >= 0, values[:, :depth], -np.inf).astype(np.float32)
    return reorder(items, scores, head)
