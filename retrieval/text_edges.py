"""Edges of items that nobody has met yet: what their texts are like, and what goes with that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.edges import Edges
from retrieval.lexical import LexicalSource
from retrieval.sources import add_edges


@dataclass(frozen=True)
class TextEdges:
    """Edges by text, arrays ``[edges]``; sorted by item, strongest first, ties by the other's code."""

    item: NDArray[np.int32]
    other: NDArray[np.int32]
    weight: NDArray[np.float32]

    @classmethod
    def of(cls, found: Sequence[tuple[int, NDArray[np.int32], NDArray[np.float32]]], neighbours: int) -> TextEdges:
        """Keep the strongest ``neighbours`` of (item, others, weights)."""
        items, others, weights = [np.empty(0, np.int32)], [np.empty(0, np.int32)], [np.empty(0, np.float32)]
        for item, other, weight in found:
            order = np.lexsort((other, -weight))[:neighbours]
            items.append(np.full(len(order), item, np.int32))
            others.append(other[order])
            weights.append(weight[order])
        return cls(np.concatenate(items), np.concatenate(others), np.concatenate(weights))


def edges_by_text(
    lexical: LexicalSource,
    texts: Sequence[str],
    met: NDArray[np.bool_],
    complements: Edges,
    neighbours: int,
) -> dict[str, TextEdges]:
    """Return edges from every item that nobody has met to items that somebody has, by kind.

    Substitutes are the met items with the likest texts; an edge weighs its BM25 score as a share of what the item's own
    text scores. Complements are theirs: each weighs the sum, over these substitutes, of likeness x their own edge.

    Args:
        lexical: over ``texts``.
        texts: by item code.
        met: ``[items]``: who has events.
        complements: between met items.
        neighbours: edges kept per item and kind.
    """
    like: list[tuple[int, NDArray[np.int32], NDArray[np.float32]]] = []
    borrowed: list[tuple[int, NDArray[np.int32], NDArray[np.float32]]] = []
    for item in np.flatnonzero(~met).tolist():
        others, scores = lexical.match(texts[item])
        if not len(others):  # no text
            continue
        own = scores[np.searchsorted(others, item)]
        nearest = np.lexsort((others, -scores))
        nearest = nearest[met[others[nearest]]][:neighbours]
        others, likeness = others[nearest], scores[nearest] / own
        like.append((item, others, likeness))
        borrowed.append((item, *add_edges(complements, others, likeness)))
    return {"substitute": TextEdges.of(like, neighbours), "complement": TextEdges.of(borrowed, neighbours)}
