"""Hard negatives: items near a user at a moment, of which the user chose another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from retrieval.filters import Allowed
from retrieval.index import ItemIndex


def mine(
    index: ItemIndex,
    vectors: NDArray[np.float32],
    own: NDArray[np.float32],
    allowed: Allowed,
    *,
    depth: int,
    keep: int,
    margin: float,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the nearest items that are no likely choices, best first.

    An item that scores above the chosen one less a margin is more likely a choice that the user did not get to make
    than a mistake, so it is dropped ("positive-aware mining", NV-Retriever, Moreira et al. 2024).

    Args:
        index: of all items.
        vectors: ``[states, dim]``, users at some moments.
        own: ``[states]``, score of the item that each went on to choose.
        allowed: what may be a negative of each state: on offer then, and nothing that the user ever chose.
        depth: nearest allowed items that are looked at.
        keep: negatives kept, at most.
        margin: in units of the score.

    Returns: ``(items, scores)``, int32 and float32 ``[states, keep]``, padded with ``NO_ITEM`` and -inf.
    """
    items, scores = index.search(vectors, depth, allowed)
    # Lists are in order of score, so what is too near stands in front.
    good = (items != NO_ITEM) & (scores <= (own - margin)[:, None])
    order = np.argsort(~good, axis=1, kind="stable")[:, :keep]
    items, scores, good = (np.take_along_axis(one, order, axis=1) for one in (items, scores, good))
    return np.where(good, items, NO_ITEM).astype(np.int32), np.where(good, scores, -np.inf).astype(np.float32)
