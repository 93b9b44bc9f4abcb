"""Queries that move towards what they find: pseudo relevance feedback on vectors. NumPy and FAISS only."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray


def with_feedback(
    asked: NDArray[np.float32], known: NDArray[np.float32], products: int, weight: float, scale: float
) -> NDArray[np.float32]:
    """Return queries moved towards the mean of the products nearest to them, ``[queries, dim]`` of unit length.

    A query of two words says little; what is found with it says in the products' own words what it means. Nearest
    products are weighted by the softmax of their scaled cosines, their mean is brought to unit length, and so is the
    sum. Rocchio (1971) without judgements; Li et al. (2021), "Pseudo relevance feedback with dense retrievers".

    Args:
        asked: ``[queries, dim]``, unit length.
        known: ``[products, dim]`` of the catalogue, unit length.
        products: of them a query moves towards; 0: none.
        weight: of their mean beside the query, from 0.
        scale: what cosines are multiplied with in the softmax.
    """
    products = min(products, len(known))
    if not products or not weight or not len(asked):
        return asked
    scores, near = faiss.knn(asked, known, products, metric=faiss.METRIC_INNER_PRODUCT)
    shares = np.exp(scale * (scores - scores[:, :1]))
    shares /= shares.sum(axis=1, keepdims=True)
    means = np.einsum("qp,qpd->qd", shares, known[near])
    return unit(asked + weight * unit(means))


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return vectors of unit length, float32; a zero vector stays one."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0), dtype=np.float32)
