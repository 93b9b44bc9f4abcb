"""Approximate search: neighbours from a FAISS structure, scored again and put in order by the raw vectors.

How far a structure has to look grows with the share of items that may not be shown: of a list of k out of items of
which a share p passes, the last stands about k / p deep among all. So the reach is multiplied by 1 / p, and by what
was measured to be needed on top (``filtered``). Where that would be slower than looking at every item that passes, or
would not keep the promise, these are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from retrieval.catalogue import Catalogue
from retrieval.device import GPU_MOST
from retrieval.families import Effort, further, search_parameters
from retrieval.filters import NOTHING, Allowed
from retrieval.passing import Openings, Passing

Lists = tuple[NDArray[np.int32], NDArray[np.float32]]


class ApproximateSearch:
    """Nearly the top k, ordered by (score desc, id asc); scores are the exact inner products."""

    def __init__(
        self,
        catalogue: Catalogue,
        index: Any,
        effort: Effort,
        at_k: int,
        pushes: Sequence[tuple[float, float]] = (),
        device: Any = None,
    ) -> None:
        """Search with FAISS.

        Args:
            catalogue: of which ``index`` holds the same rows.
            index: a structure on the host.
            effort: that keeps the promise for lists of ``at_k`` out of all items.
            at_k: longer lists are looked for further in proportion, without a promise.
            pushes: pairs (scale, push), rising: a filter that makes it look up to ``scale`` times further takes
                ``push`` times that. What would take more than the last is answered exactly.
            device: a copy of ``index`` with its effort set, on GPUs; it answers what has no filter.
        """
        self._catalogue, self._index, self._device = catalogue, index, device
        self._effort, self._at_k, self._pushes = effort, at_k, pushes
        self._openings = Openings(catalogue)
        self._plain = search_parameters(index, effort.reach)

    def search(self, vectors: NDArray[np.float32], k: int, allowed: Allowed | None) -> Lists:
        """Answer checked queries; as ``ItemIndex.search``."""
        if allowed is None:
            # Most searches, one query each: what a filter needs would cost as much as FAISS itself.
            return self._answers(vectors, k, None, None, self._openings.everything, None, 1.0)
        items = np.full((len(vectors), k), NO_ITEM, dtype=np.int32)
        scores = np.full((len(vectors), k), -np.inf, dtype=np.float32)
        for rows, passing, excluded, scale in self._groups(k, allowed):
            items[rows], scores[rows] = self._answers(vectors[rows], k, allowed, rows, passing, excluded, scale)
        return items, scores

    def _groups(
        self, k: int, allowed: Allowed
    ) -> Iterator[tuple[NDArray[np.int64], Passing, NDArray[np.int64], float]]:
        """Yield (rows, what passes, how many items each excludes, how many times further to look)."""
        excluded = np.array([len(items) for items in allowed.excluded], dtype=np.int64)
        for moment in np.unique(allowed.moment):
            passing = self._openings.at(allowed, int(moment))
            rows = np.flatnonzero(allowed.moment == moment)
            # Tombstones are part of what recall is measured with.
            scale = (k + excluded[rows]) / k * self._openings.everything.share / max(passing.share, 1e-9)
            # Who must look far does not make the others look as far.
            steps = np.searchsorted([limit for limit, _ in self._pushes], scale)
            for step in np.unique(steps):
                part = rows[steps == step]
                yield part, passing, excluded[part], float(scale[steps == step].max())

    def _answers(
        self,
        vectors: NDArray[np.float32],
        k: int,
        allowed: Allowed | None,
        rows: NDArray[np.int64] | None,
        passing: Passing,
        excluded: NDArray[np.int64] | None,
        scale: float,
    ) -> Lists:
        """Answer requests that look equally far; ``rows`` says which of ``allowed`` they are."""
        push = self._push(scale)
        if push is None or not passing.count:
            items = np.full((len(vectors), k), NO_ITEM, dtype=np.int32)
            scores = np.full((len(vectors), k), -np.inf, dtype=np.float32)
            missing = np.arange(len(vectors))
        else:
            most = 0 if excluded is None else int(excluded.max())
            items, scores = self._near(vectors, k, most, scale * push, passing, allowed, rows)
            if items[:, -1].min() != NO_ITEM:
                return items, scores
            # A graph, or cells with nothing in them that passes, may bring up too few.
            there = passing.count - (0 if excluded is None else excluded)
            missing = np.flatnonzero((items != NO_ITEM).sum(axis=1) < np.minimum(k, there))
        if len(missing):
            among = passing.rows()
            for row in missing:
                out = NOTHING if allowed is None or rows is None else allowed.excluded[rows[row]]
                items[row], scores[row] = self._scan(vectors[row], k, out, among)
        return items, scores

    def _push(self, scale: float) -> float | None:
        """Return by what to multiply the reach beyond ``scale``; None where the answer is to be exact."""
        if scale <= 1.0:
            return 1.0
        return next((push for limit, push in self._pushes if scale <= limit), None)

    def _near(
        self,
        vectors: NDArray[np.float32],
        k: int,
        excluded: int,
        scale: float,
        passing: Passing,
        allowed: Allowed | None,
        rows: NDArray[np.int64] | None,
    ) -> Lists:
        keep = min(k + excluded, passing.count)
        place = self._neighbours(vectors, min(self._effort.fetch(keep), passing.count), k, scale, passing)
        catalogue = self._catalogue
        if place.shape[1] > keep:
            rough = catalogue.rough_scores(vectors, place)
            place = best_first(keep, catalogue.ids[place], rough, place)[0]
        scores = catalogue.score(vectors, place)
        items = catalogue.ids[place]
        absent = place < 0
        if absent.any():
            items[absent] = NO_ITEM
        if excluded and allowed is not None:
            out = ~allowed.mask(items, rows)
            scores[out], items[out] = -np.inf, NO_ITEM
        scores, items = best_first(k, items, scores, scores, items)
        return padded((items, scores), k)

    def _neighbours(
        self, vectors: NDArray[np.float32], fetch: int, k: int, scale: float, passing: Passing
    ) -> NDArray[np.int64]:
        """Return ``[requests, fetch]`` rows, -1 where the structure brought up no more."""
        scale *= max(1.0, k / self._at_k)
        place: NDArray[np.int64]
        if scale == 1.0 and passing.mask is None:
            if self._device is not None and fetch <= GPU_MOST:
                _, place = self._device.search(vectors, fetch)
            else:
                _, place = self._index.search(vectors, fetch, params=self._plain)
        else:
            reach = further(self._effort, scale).reach
            parameters = search_parameters(self._index, reach, passing.selector)
            _, place = self._index.search(vectors, fetch, params=parameters)
        return place

    def _scan(
        self, vector: NDArray[np.float32], k: int, excluded: NDArray[np.int32], among: NDArray[np.int64]
    ) -> Lists:
        items, scores = self._catalogue.scan(vector, k + len(excluded), among)
        if len(excluded):
            keep = ~np.isin(items, excluded)
            items, scores = items[keep][:k], scores[keep][:k]
        return padded((items, scores), k)


def best_first(
    count: int, ids: NDArray[np.int32], scores: NDArray[np.float32], *columns: NDArray[Any]
) -> list[NDArray[Any]]:
    """Return the first ``count`` of each row of columns, by (score desc, id asc); all ``[requests, any]``."""
    order = np.lexsort((ids, -scores), axis=-1)[:, :count]
    # As np.take_along_axis, whose making of indexes takes longer than a search of few cells.
    order += np.arange(len(order))[:, None] * ids.shape[1]
    return [column.ravel()[order] for column in columns]


def padded(lists: Lists, k: int) -> Lists:
    """Return lists, ``[..., any]``, made as long as ``k``."""
    items, scores = lists
    missing = k - items.shape[-1]
    if missing <= 0:
        return lists
    ends = [(0, 0)] * (items.ndim - 1) + [(0, missing)]
    return np.pad(items, ends, constant_values=NO_ITEM), np.pad(scores, ends, constant_values=-np.inf)
