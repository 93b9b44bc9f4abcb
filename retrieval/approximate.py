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

    def search(self, vectors: NDArray[np.float32], k: int, allowed: Allowed | None) -> Lists:
        """Answer checked queries; as ``ItemIndex.search``."""
        items = np.full((len(vectors), k), NO_ITEM, dtype=np.int32)
        scores = np.full((len(vectors), k), -np.inf, dtype=np.float32)
        for rows, passing, excluded, scale in self._groups(len(vectors), k, allowed):
            push = self._push(scale)
            if push is None or not passing.count:
                missing = rows
            else:
                near = self._near(vectors[rows], k, int(excluded.max()), scale * push, passing, allowed, rows)
                items[rows], scores[rows] = near
                # A graph, or cells with nothing in them that passes, may bring up too few.
                short = (items[rows] != NO_ITEM).sum(axis=1) < np.minimum(k, passing.count - excluded)
                missing = rows[short]
            if len(missing):
                among = passing.rows()
                for row in missing:
                    items[row], scores[row] = self._scan(vectors[row], k, int(row), among, allowed)
        return items, scores

    def _groups(
        self, requests: int, k: int, allowed: Allowed | None
    ) -> Iterator[tuple[NDArray[np.int64], Passing, NDArray[np.int64], float]]:
        """Yield (rows, what passes, how many items each excludes, how many times further to look)."""
        if allowed is None:
            passing = self._openings.everything
            rows = np.arange(requests)
            yield rows, passing, np.zeros_like(rows), 1.0
            return
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
        rows: NDArray[np.int64],
    ) -> Lists:
        keep = min(k + excluded, passing.count)
        place = self._neighbours(vectors, min(self._effort.fetch(keep), passing.count), k, scale, passing)
        catalogue = self._catalogue
        if place.shape[1] > keep:
            rough = catalogue.rough_scores(vectors, place)
            order = np.lexsort((catalogue.ids[place], -rough), axis=-1)[:, :keep]
            place = np.take_along_axis(place, order, axis=1)
        scores = catalogue.score(vectors, place)
        items = catalogue.ids[place]
        if excluded and allowed is not None:
            scores[~allowed.mask(np.where(place < 0, NO_ITEM, items), rows)] = -np.inf
        order = np.lexsort((items, -scores), axis=-1)[:, :k]
        scores = np.take_along_axis(scores, order, axis=1)
        items = np.where(np.isneginf(scores), NO_ITEM, np.take_along_axis(items, order, axis=1)).astype(np.int32)
        return _padded((items, scores), k)

    def _neighbours(
        self, vectors: NDArray[np.float32], fetch: int, k: int, scale: float, passing: Passing
    ) -> NDArray[np.int64]:
        """Return ``[requests, fetch]`` rows, -1 where the structure brought up no more."""
        scale *= max(1.0, k / self._at_k)
        place: NDArray[np.int64]
        if self._device is not None and passing.mask is None and scale == 1.0 and fetch <= GPU_MOST:
            _, place = self._device.search(vectors, fetch)
        else:
            effort = further(self._effort, scale)
            parameters = search_parameters(self._index, effort.reach, passing.selector)
            _, place = self._index.search(vectors, fetch, params=parameters)
        return place

    def _scan(
        self, vector: NDArray[np.float32], k: int, row: int, among: NDArray[np.int64], allowed: Allowed | None
    ) -> Lists:
        excluded = NOTHING if allowed is None else allowed.excluded[row]
        items, scores = self._catalogue.scan(vector, k + len(excluded), among)
        if len(excluded):
            keep = ~np.isin(items, excluded)
            items, scores = items[keep][:k], scores[keep][:k]
        return _padded((items, scores), k)


def _padded(lists: Lists, k: int) -> Lists:
    """Return lists, ``[..., any]``, made as long as ``k``."""
    items, scores = lists
    missing = k - items.shape[-1]
    if missing <= 0:
        return lists
    ends = [(0, 0)] * (items.ndim - 1) + [(0, missing)]
    return np.pad(items, ends, constant_values=NO_ITEM), np.pad(scores, ends, constant_values=-np.inf)
