"""Exact nearest items by inner product, in item ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from commerce.ranked_lists import rank_scores
from retrieval.filters import Allowed

FORMAT = 1
_FILES = ("items.faiss", "ids.npy", "index.json")
_GPU_MOST = 2048
"""FAISS on a GPU answers at most this many neighbours."""
_TRIES = (2, 8)
"""Neighbours asked for, in multiples of k, before a request is answered by looking at every item."""
_CELLS = 16_000_000
"""Numbers of item vectors held at once while scores are computed again: 64 MB."""

# Below this many queries FAISS scores them one by one, without BLAS. Some builds raised it from 20 to 128,000, which
# made a block of 256 queries over 92,000 items 14 times slower.
faiss.cvar.distance_compute_blas_threshold = 20


class ItemIndex:
    """FAISS inner-product search over all items, without approximation, that answers in item ids.

    Lists are ordered by (score desc, id asc). FAISS rounds by the shape of the batch and breaks ties as it likes, so
    what it finds is scored again in double precision: the same request gets the same answer alone, in a batch and
    on a GPU.
    """

    def __init__(self, flat: faiss.IndexFlat, ids: NDArray[np.int32], gpus: int | None = None) -> None:
        """Wrap an index on the host; ``build`` and ``load`` check what goes into it.

        Args:
            flat: inner product; row i holds the vector of ``ids[i]``.
            ids: ``[items]``, ascending.
            gpus: GPUs to search on; None takes those that FAISS sees, 0 searches on the host.
        """
        self.ids = ids
        self._host = flat
        self._vectors = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d)
        self._longest = float(np.sqrt(np.einsum("id,id->i", self._vectors, self._vectors).max()))
        gpus = faiss.get_num_gpus() if gpus is None else gpus
        self.on_gpu = gpus > 0
        self._searcher: Any = faiss.index_cpu_to_all_gpus(flat, ngpu=gpus) if self.on_gpu else flat
        self._most = min(_GPU_MOST, len(ids)) if self.on_gpu else len(ids)

    @classmethod
    def build(cls, ids: NDArray[np.integer], vectors: NDArray[np.floating], gpus: int | None = None) -> ItemIndex:
        """Index ``vectors`` ([items, dim]) under ``ids`` ([items], distinct, not negative).

        Raises:
            ValueError: for no items, other shapes, repeated or negative ids, or numbers that are not finite.
        """
        vectors = np.asarray(vectors, dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(ids) or not vectors.size:
            raise ValueError(
                f"an index needs at least one item and one vector for each, got {len(ids):,} ids and vectors of shape "
                f"{vectors.shape}"
            )
        if len(np.unique(ids)) != len(ids) or int(np.min(ids)) < 0:
            raise ValueError("item ids must be distinct and not negative; use the item codes of the id map")
        wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(wrong):
            raise ValueError(
                f"{len(wrong):,} of {len(ids):,} item vectors hold NaN or infinity (first: items "
                f"{np.asarray(ids)[wrong[:3]].tolist()}); embed the items again"
            )
        order = np.argsort(ids)
        flat = faiss.IndexFlatIP(vectors.shape[1])
        flat.add(np.ascontiguousarray(vectors[order]))
        return cls(flat, np.asarray(ids)[order].astype(np.int32), gpus)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self._host.d)

    def search(
        self, vectors: NDArray[np.floating], k: int, allowed: Allowed | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the ``k`` best items of each request and their inner products.

        Args:
            vectors: ``[requests, dim]``.
            k: length of the lists. Where fewer items are allowed, or in the catalogue, a list ends with ``NO_ITEM``
                and ``-inf``.
            allowed: what each request may be answered with; the answer is the true top k of that.

        Returns: ids int32 and scores float32, each ``[requests, k]``, best first, ties by id.

        Raises:
            ValueError: for vectors of another width or with NaN, a ``k`` below 1, or filters for other requests.
        """
        vectors = self._checked(vectors, k, allowed)
        items = np.full((len(vectors), k), NO_ITEM, dtype=np.int32)
        scores = np.full((len(vectors), k), -np.inf, dtype=np.float32)
        unsure = np.arange(len(vectors))
        for fetch in (min(tried * k, len(self)) for tried in _TRIES):
            if len(unsure) and fetch <= self._most:
                found, found_scores, sure = self._try(vectors[unsure], k, fetch, allowed, unsure)
                items[unsure[sure], : found.shape[1]] = found[sure]
                scores[unsure[sure], : found.shape[1]] = found_scores[sure]
                unsure = unsure[~sure]
        for row in unsure:
            items[row], scores[row] = self._scan(vectors[row], k, allowed, int(row))
        return items, scores

    def save(self, folder: Path) -> None:
        """Write ``items.faiss`` (always as an index for the host), ``ids.npy`` and ``index.json`` into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        faiss.write_index(self._host, str(folder / _FILES[0]))
        np.save(folder / _FILES[1], self.ids)
        facts = {"format": FORMAT, "items": len(self), "dim": self.dim, "metric": "inner product", "exact": True}
        (folder / _FILES[2]).write_text(json.dumps(facts, indent=1))

    @classmethod
    def load(cls, folder: Path, gpus: int | None = None) -> ItemIndex:
        """Read what ``save`` wrote.

        Raises:
            FileNotFoundError: if one of the files is missing.
            ValueError: if they are of another format, unreadable, or do not belong together.
        """
        missing = [name for name in _FILES if not (folder / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{folder} lacks {', '.join(missing)}; run `mercato index CONFIG` to write the index"
            )
        facts = json.loads((folder / _FILES[2]).read_text())
        if facts.get("format") != FORMAT:
            raise ValueError(f"{folder} holds an index of format {facts.get('format')!r}, but {FORMAT} was expected")
        try:
            flat = faiss.read_index(str(folder / _FILES[0]))
        except RuntimeError as error:
            raise ValueError(f"{folder / _FILES[0]} is not a FAISS index: {str(error).splitlines()[0]}") from error
        ids = np.load(folder / _FILES[1], allow_pickle=False)
        if not isinstance(flat, faiss.IndexFlat) or (flat.ntotal, flat.d, len(ids)) != (
            facts["items"],
            facts["dim"],
            facts["items"],
        ):
            raise ValueError(
                f"the files in {folder} do not belong together: index.json says {facts['items']:,} items of width "
                f"{facts['dim']}, items.faiss holds {flat.ntotal:,} of width {flat.d} ({type(flat).__name__}), ids.npy "
                f"{len(ids):,}; write the index again"
            )
        return cls(flat, ids, gpus)

    def _checked(self, vectors: NDArray[np.floating], k: int, allowed: Allowed | None) -> NDArray[np.float32]:
        # FAISS itself answers a wrong width with an AssertionError that has no text.
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise ValueError(
                f"queries have shape {vectors.shape}, but the index holds {self.dim}-wide vectors; "
                "encode them with the towers that this index was built from"
            )
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        if allowed is not None and len(allowed) != len(vectors):
            raise ValueError(f"filters are for {len(allowed)} requests, but {len(vectors)} came")
        wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(wrong):
            raise ValueError(
                f"{len(wrong):,} of {len(vectors):,} query vectors hold NaN or infinity (first: rows "
                f"{wrong[:3].tolist()}), and nothing is near them"
            )
        return np.ascontiguousarray(vectors, dtype=np.float32)

    def _try(
        self, vectors: NDArray[np.float32], k: int, fetch: int, allowed: Allowed | None, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.bool_]]:
        """Take ``fetch`` neighbours and filter them; say for which requests that is certainly the true top k."""
        rough, place = self._searcher.search(vectors, fetch)
        items = self.ids[place]
        scores = np.empty_like(rough)
        step = max(1, _CELLS // (fetch * self.dim))
        for start in range(0, len(vectors), step):
            part = slice(start, start + step)
            near = self._vectors[place[part]]
            scores[part] = np.einsum("rkd,rd->rk", near, vectors[part], dtype=np.float64)
        if allowed is not None:
            scores[~allowed.mask(items, rows)] = -np.inf
        order = np.lexsort((items, -scores), axis=-1)[:, :k]
        items, scores = np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1)
        if fetch == len(self):
            sure = np.ones(len(vectors), dtype=bool)
        else:
            # Items that were not fetched score at most the last fetched one, give or take float32 rounding.
            rounding = 2.0 * self.dim * np.finfo(np.float32).eps * self._longest * np.linalg.norm(vectors, axis=1)
            sure = scores[:, -1] > rough[:, -1] + rounding
        return np.where(np.isneginf(scores), NO_ITEM, items).astype(np.int32), scores, sure

    def _scan(
        self, vector: NDArray[np.float32], k: int, allowed: Allowed | None, row: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Answer one request by scoring every item."""
        wide = vector.astype(np.float64)
        step = max(1, _CELLS // self.dim)
        blocks = (self._vectors[start : start + step] for start in range(0, len(self), step))
        scores = np.concatenate([np.einsum("id,d->i", block, wide) for block in blocks]).astype(np.float32)
        if allowed is not None:
            scores[~allowed.row(row, self.ids)] = -np.inf
        places, best = rank_scores(scores[None], k)
        return np.where(places[0] == NO_ITEM, NO_ITEM, self.ids[places[0]]), best[0]
