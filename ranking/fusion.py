"""From the cross-encoder's scores to the order that is shown. NumPy only: training, ``rank`` and serving call this.

Both scores are standardised within the request's re-ordered candidates, which makes them comparable whatever their
units; the shown score is ``weight`` of the cross-encoder's and the rest of the retriever's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM

_TAIL_GAP = 1.0
"""Between the lowest re-ordered candidate and the first that keeps its place, so that scores fall along the list."""


def standardise(scores: NDArray[np.float32], kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return each row's scores with mean 0 and spread 1 over its candidates; 0 in rows where all are equal.

    Args:
        scores: ``[requests, length]``; anything past a list's end.
        kept: ``[requests, length]``, whether there is a candidate; 0 is returned where there is none.
    """
    counts = np.maximum(kept.sum(axis=1, keepdims=True), 1)
    values = np.where(kept, scores, 0.0).astype(np.float64)
    centred = np.where(kept, values - values.sum(axis=1, keepdims=True) / counts, 0.0)
    spread = np.sqrt((centred**2).sum(axis=1, keepdims=True) / counts)
    return np.where(spread > 1e-9, centred / np.maximum(spread, 1e-9), 0.0).astype(np.float32)


def fuse(
    read: NDArray[np.float32], retrieved: NDArray[np.float32], kept: NDArray[np.bool_], weight: float
) -> NDArray[np.float32]:
    """Return ``weight`` of the standardised cross-encoder scores plus the rest of the standardised retrieval scores.

    All arrays are ``[requests, length]``; what stands past a list's end is -inf.
    """
    fused = weight * standardise(read, kept) + (1.0 - weight) * standardise(retrieved, kept)
    return np.where(kept, fused, -np.inf).astype(np.float32)


def reorder(
    items: NDArray[np.int32], retrieved: NDArray[np.float32], fused: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Put the first candidates of each list in the order of their fused scores; the others keep their places.

    Args:
        items: ``[requests, candidates]``, blended order, ``NO_ITEM`` past a list's end.
        retrieved: ``[requests, candidates]``, blended scores, falling.
        fused: ``[requests, depth]`` of the first ``depth`` candidates, -inf past a list's end; ``depth`` may be
            more than there are.

    Returns: items and scores, ``[requests, candidates]``; ties stand by item code, scores fall along each list.
    """
    depth = min(fused.shape[1], items.shape[1])
    fused = fused[:, :depth]
    order = np.lexsort((items[:, :depth], -fused), axis=1)
    shown, scores = items.copy(), retrieved.astype(np.float32)
    shown[:, :depth] = np.take_along_axis(items[:, :depth], order, axis=1)
    scores[:, :depth] = np.take_along_axis(fused, order, axis=1)
    if items.shape[1] > depth:
        lowest = np.where(np.isfinite(fused), fused, np.inf).min(axis=1, keepdims=True)
        below = lowest - _TAIL_GAP + (retrieved[:, depth:] - retrieved[:, depth : depth + 1])
        scores[:, depth:] = np.where(items[:, depth:] != NO_ITEM, below, -np.inf)
    scores[shown == NO_ITEM] = -np.inf
    return shown, scores
