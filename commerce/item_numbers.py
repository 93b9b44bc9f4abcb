"""Numbers about items that a reranker is told as they are: declared ones, and how dear an item is in its category.

What a shopper makes of a price or a rating hangs on what they came for; the towers see such numbers in an item's vector
alone. NumPy only: training, ``rank`` and serving call this.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

PRICE_IN_CATEGORY = "price_in_category"
_PREFIX = "item_"


def number_names(numeric: Iterable[str]) -> tuple[str, ...]:
    """Return the names of ``item_numbers``' columns; ``numeric`` are the declared numeric features of items."""
    return (PRICE_IN_CATEGORY, *(f"{_PREFIX}{name}" for name in numeric))


def declared_name(name: str) -> str:
    """Return the declared feature that a number is, empty where it is none."""
    return name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else ""


def item_numbers(
    price: NDArray[np.floating], leaf: NDArray[np.integer], numeric: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the numbers of every item, float32 ``[items, 1 + numeric]``, in the order of ``number_names``.

    Args:
        price: ``[items]``, NaN where unknown.
        leaf: ``[items]``, code of the leaf category, -1 without.
        numeric: ``[items, numeric]``, standardised, 0 where missing (``commerce.features``).

    The first is log price less the mean of its leaf, over the spread of all such differences; 0 where the price is
    unknown or the item alone of its leaf. Items without a leaf are a leaf of their own.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(price.astype(np.float64))
    known = np.flatnonzero(np.isfinite(log))
    _, of_leaf = np.unique(leaf[known], return_inverse=True)
    counts = np.maximum(np.bincount(of_leaf), 1)
    above = log[known] - (np.bincount(of_leaf, weights=log[known]) / counts)[of_leaf]
    spread = float(above.std()) if len(above) else 0.0
    dear = np.zeros(len(price))
    dear[known] = above / spread if spread > 0 else 0.0
    return np.concatenate([dear[:, None], numeric], axis=1).astype(np.float32)
