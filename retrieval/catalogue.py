"""The raw item vectors that every index answers from in the end, by row, and the item id of each row."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from configs.errors import InputError

_CELLS = 16_000_000
"""Numbers of item vectors held at once while scores are computed again: 64 MB."""
_UNIT = 1e-3
"""A vector whose length differs from 1 by more is not of unit length."""


@dataclass(frozen=True)
class Catalogue:
    """Vectors by row. A row whose item was removed or replaced stays, as a tombstone, until rows are compacted."""

    ids: NDArray[np.int32]
    """``[rows]``, distinct but for ``NO_ITEM``, which marks a tombstone."""
    vectors: NDArray[np.float32]
    """``[rows, dim]``, C-contiguous; may be memory-mapped."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.vectors.shape[1])

    @cached_property
    def alive(self) -> NDArray[np.bool_]:
        """``[rows]``: whether the row is no tombstone."""
        alive: NDArray[np.bool_] = self.ids != NO_ITEM
        return alive

    @cached_property
    def items(self) -> int:
        """Items that can be found."""
        return int(self.alive.sum())

    @cached_property
    def largest(self) -> int:
        """Largest item id."""
        return int(self.ids.max())

    @cached_property
    def longest(self) -> float:
        """Length of the longest vector."""
        return float(np.sqrt(max(np.einsum("id,id->i", part, part).max() for part in self._blocks())))

    @cached_property
    def unit(self) -> bool:
        """Whether all vectors have length 1."""
        return all(not len(not_unit(part)) for part in self._blocks())

    def rounding(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return by how much FAISS's float32 inner products with ``vectors`` ([requests, dim]) may be off."""
        lengths: NDArray[np.float64] = np.linalg.norm(vectors, axis=1).astype(np.float64)
        return 2.0 * self.dim * np.finfo(np.float32).eps * self.longest * lengths

    def score(self, vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return inner products computed in double precision: the same number whatever else is asked with it.

        Args:
            vectors: ``[requests, dim]``.
            rows: ``[requests, any]``; a negative row scores ``-inf``.
        """
        scores = np.empty(rows.shape, dtype=np.float32)
        step = max(1, _CELLS // max(1, rows.shape[1] * self.dim))
        for start in range(0, len(vectors), step):
            part = slice(start, start + step)
            scores[part] = np.einsum("rkd,rd->rk", self.vectors[rows[part]], vectors[part], dtype=np.float64)
        scores[rows < 0] = -np.inf
        return scores

    def rough_scores(self, vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the same in float32, without copying the vectors: much faster, and off by ``rounding`` at most."""
        rough = np.empty(rows.shape, dtype=np.float32)
        rows = np.ascontiguousarray(rows, dtype=np.int64)
        known = np.maximum(rows, 0)
        pointers = (faiss.swig_ptr(array) for array in (rough, vectors, self.vectors, known))
        products: Any = faiss
        products.fvec_inner_products_by_idx(*pointers, self.dim, rows.shape[0], rows.shape[1])
        rough[rows < 0] = -np.inf
        return rough

    def scan(
        self, vector: NDArray[np.float32], k: int, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the true best ``k`` of ``rows`` for one request ([dim]): ids and scores, at most k of each."""
        query = vector[None]
        if len(rows) > k:
            rough = self.rough_scores(query, rows[None])[0]
            last = np.partition(rough, len(rows) - k)[len(rows) - k]
            rows = rows[rough >= last - 2.0 * self.rounding(query)[0]]
        scores = self.score(query, rows[None])[0]
        order = np.lexsort((self.ids[rows], -scores))[:k]
        return self.ids[rows[order]], scores[order]

    def _blocks(self) -> list[NDArray[np.float32]]:
        step = max(1, _CELLS // self.dim)
        return [self.vectors[start : start + step] for start in range(0, len(self.vectors), step)]


def checked_items(ids: NDArray[np.integer], vectors: NDArray[np.floating]) -> Catalogue:
    """Return a catalogue of ``vectors`` ([items, dim]) under ``ids`` ([items]), in order of id.

    Raises:
        InputError: for no items, other shapes, repeated or negative ids, vectors with NaN or infinity, or vectors of
            zeros: they would stand before every item that a user dislikes.
    """
    ids, vectors = np.asarray(ids), np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(ids) or not vectors.size:
        raise InputError(
            f"an index needs at least one item and one vector for each, got {len(ids):,} ids and vectors of shape "
            f"{vectors.shape}"
        )
    distinct, count = np.unique(ids, return_counts=True)
    if len(distinct) != len(ids) or int(np.min(ids)) < 0:
        wrong = np.unique(np.concatenate([distinct[count > 1], distinct[distinct < 0]]))
        raise InputError(
            f"item ids must be distinct and not negative, but {len(wrong):,} are not (first: {wrong[:3].tolist()}); "
            "use the item codes of the id map, each once"
        )
    _refuse(ids, ~np.isfinite(vectors).all(axis=1), "hold NaN or infinity")
    _refuse(ids, ~(vectors != 0).any(axis=1), "are all zeros")
    order = np.argsort(ids)
    return Catalogue(ids[order].astype(np.int32), np.ascontiguousarray(vectors[order]))


def not_unit(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the rows of ``vectors`` ([any, dim]) whose length is not 1."""
    return np.flatnonzero(np.abs(np.sqrt(np.einsum("id,id->i", vectors, vectors)) - 1.0) > _UNIT)


def warn_of_lengths(catalogue: Catalogue) -> None:
    """Warn where vectors are not of unit length, as the towers give them.

    Refused they are not: the promise is about inner products, and is measured on the very vectors that came. But then
    long vectors are found for everybody, and cells and graphs, made for directions, look further than they need.
    """
    if not catalogue.unit:
        wrong = not_unit(catalogue.vectors)
        warnings.warn(
            f"{len(wrong):,} of {len(catalogue):,} item vectors are not of unit length (first: items "
            f"{catalogue.ids[wrong[:3]].tolist()}), so long ones score high for everybody; if they should be the "
            "towers' own, embed the items again",
            stacklevel=3,
        )


def _refuse(ids: NDArray[np.integer], wrong: NDArray[np.bool_], what: str) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        raise InputError(
            f"{len(rows):,} of {len(ids):,} item vectors {what} (first: items {ids[rows[:3]].tolist()}); embed the "
            "items again"
        )
