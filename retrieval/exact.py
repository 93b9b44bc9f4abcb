"""Exact search: what FAISS finds by scoring everything, put right where float32 rounding or a filter leave doubt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from retrieval.catalogue import Catalogue
from retrieval.filters import Allowed

_TRIES = (2, 8)
"""Neighbours asked for, in multiples of k, before a request is answered by looking at every item."""


class ExactSearch:
    """The true top k, ordered by (score desc, id asc).

    FAISS rounds by the shape of the batch and breaks ties as it likes, so what it finds is scored again in double
    precision: the same request gets the same answer alone, in a batch and on a GPU.
    """

    def __init__(self, catalogue: Catalogue, searcher: Any, most: int) -> None:
        """Search with FAISS.

        Args:
            catalogue: of which ``searcher`` holds the same rows.
            searcher: a flat index, on the host or on GPUs.
            most: neighbours that it gives at most.
        """
        self._catalogue, self._searcher, self._most = catalogue, searcher, most

    def search(
        self, vectors: NDArray[np.float32], k: int, allowed: Allowed | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Answer checked queries; as ``ItemIndex.search``."""
        items = np.full((len(vectors), k), NO_ITEM, dtype=np.int32)
        scores = np.full((len(vectors), k), -np.inf, dtype=np.float32)
        unsure = np.arange(len(vectors))
        for fetch in (min(tried * k, len(self._catalogue)) for tried in _TRIES):
            if len(unsure) and fetch <= self._most:
                found, found_scores, sure = self._try(vectors[unsure], k, fetch, allowed, unsure)
                items[unsure[sure], : found.shape[1]] = found[sure]
                scores[unsure[sure], : found.shape[1]] = found_scores[sure]
                unsure = unsure[~sure]
        for row in unsure:
            may = self._catalogue.alive if allowed is None else allowed.row(int(row), self._catalogue.ids)
            found, best = self._catalogue.scan(vectors[row], k, np.flatnonzero(may))
            items[row, : len(found)], scores[row, : len(found)] = found, best
        return items, scores

    def _try(
        self, vectors: NDArray[np.float32], k: int, fetch: int, allowed: Allowed | None, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.bool_]]:
        """Take ``fetch`` neighbours and filter them; say for which requests that is certainly the true top k."""
        rough, place = self._searcher.search(vectors, fetch)
        items = self._catalogue.ids[place]
        scores = self._catalogue.score(vectors, place)
        scores[items == NO_ITEM if allowed is None else ~allowed.mask(items, rows)] = -np.inf
        order = np.lexsort((items, -scores), axis=-1)[:, :k]
        items, scores = np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1)
        if fetch == len(self._catalogue):
            sure = np.ones(len(vectors), dtype=bool)
        else:
            # Items that were not fetched score at most the last fetched one, give or take float32 rounding.
            sure = scores[:, -1] > rough[:, -1] + self._catalogue.rounding(vectors)
        return np.where(np.isneginf(scores), NO_ITEM, items).astype(np.int32), scores, sure
