"""The item index: nearest items by inner product, in item ids, exactly or to a promise of recall."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from retrieval.approximate import ApproximateSearch
from retrieval.catalogue import Catalogue, checked_items, warn_of_lengths
from retrieval.device import GPU_MOST, Device
from retrieval.exact import ExactSearch
from retrieval.families import Effort, set_effort
from retrieval.filters import Allowed
from retrieval.promise import Promise, choose
from retrieval.recall import Search
from retrieval.storage import read_index, vectors_of, write_index

# Below this many queries FAISS scores them one by one, without BLAS. Some builds raised it from 20 to 128,000, which
# made a block of 256 queries over 92,000 items 14 times slower.
faiss.cvar.distance_compute_blas_threshold = 20


class ItemIndex:
    """FAISS inner-product search over all items that answers in item ids, by (score desc, id asc).

    An exact index gives the true top k. One built to a promise gives nearly that, surely as often as promised on
    average over requests like those it was measured on; its scores are exact all the same. Neither ever changes:
    ``retrieval.updates`` makes a new one.
    """

    def __init__(self, catalogue: Catalogue, index: Any, facts: dict[str, Any], gpus: int | None = None) -> None:
        """Wrap what ``build`` and ``load`` have checked.

        Args:
            catalogue: row i of ``index`` holds the vector of row i.
            index: FAISS's, on the host; a flat one is exact.
            facts: of ``index.json``: the promise and how it was kept.
            gpus: GPUs to search on; None takes those that FAISS sees, 0 searches on the host.
        """
        self.catalogue, self.host, self.facts = catalogue, index, facts
        device = Device.find(gpus)
        self.exact = isinstance(index, faiss.IndexFlat)
        self.on_gpu = device.holds("flat" if self.exact else facts["promise"]["family"])
        self._search: Search
        if self.exact:
            most = min(GPU_MOST, len(catalogue)) if self.on_gpu else len(catalogue)
            self._search = ExactSearch(catalogue, device.copy(index) if self.on_gpu else index, most)
        else:
            told = facts["promise"]
            effort = Effort(told["reach"], told["factor"])
            set_effort(index, effort)
            there = device.copy(index) if self.on_gpu else None
            self._search = ApproximateSearch(catalogue, index, effort, told["at_k"], told["pushes"], there)

    @classmethod
    def build(
        cls,
        ids: NDArray[np.integer],
        vectors: NDArray[np.floating],
        queries: NDArray[np.floating] | None = None,
        *,
        fresh: NDArray[np.floating] | None = None,
        towers: str = "",
        gpus: int | None = None,
        **promise: Any,
    ) -> ItemIndex:
        """Index ``vectors`` ([items, dim]) under ``ids`` ([items], distinct, not negative).

        Args:
            ids: of the items.
            vectors: as wide as the users'; an exact index without ``queries`` takes any length, else a length other
                than 1 is warned of.
            queries: ``[queries, dim]`` of users like those to come; without, the index is exact.
            fresh: other queries, on which the recall of the choice is measured again.
            towers: names what made the vectors; whoever loads the index may ask for the same.
            gpus: to build and search on; None takes those that FAISS sees, 0 the host.
            promise: what the index has to keep on ``queries``: ``target_recall``, ``at_k``, ``budget_bytes``,
                ``tune_for`` and the other fields of ``Promise``.

        Raises:
            InputError: for items or queries that cannot be indexed (``catalogue.checked_items``), or a promise that
                nothing keeps within its budget.
        """
        wanted = Promise(**promise)
        catalogue = checked_items(ids, vectors)
        flat = faiss.IndexFlatIP(catalogue.dim)
        flat.add(catalogue.vectors)
        facts: dict[str, Any] = {"towers": towers, "version": 1}
        if queries is None:
            return cls(Catalogue(catalogue.ids, vectors_of(flat)), flat, facts, gpus)
        warn_of_lengths(catalogue)
        queries = checked_queries(queries, catalogue.dim)
        fresh = None if fresh is None else checked_queries(fresh, catalogue.dim)
        chosen = choose(catalogue, flat, wanted, queries, fresh, Device.find(gpus))
        facts["promise"] = chosen.facts
        if chosen.index is None:
            return cls(Catalogue(catalogue.ids, vectors_of(flat)), flat, facts, gpus)
        return cls(catalogue, chosen.index, facts, gpus)

    def __len__(self) -> int:
        return self.catalogue.items

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.catalogue.dim

    @property
    def version(self) -> int:
        """Number of the state of the catalogue, from 1; every update adds one."""
        return int(self.facts["version"])

    def search(
        self, vectors: NDArray[np.floating], k: int, allowed: Allowed | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the ``k`` best items of each request and their inner products.

        Args:
            vectors: ``[requests, dim]``.
            k: length of the lists. Where fewer items are allowed, or in the catalogue, a list ends with ``NO_ITEM``
                and ``-inf``.
            allowed: what each request may be answered with; the answer is the top k of that.

        Returns: ids int32 and scores float32, each ``[requests, k]``, best first, ties by id.

        Raises:
            InputError: for vectors of another width or with NaN, a ``k`` below 1, or filters for other requests.
        """
        if k < 1:
            raise InputError(f"k must be at least 1, got {k}")
        if allowed is not None and len(allowed) != len(vectors):
            raise InputError(f"filters are for {len(allowed)} requests, but {len(vectors)} came")
        if allowed is not None and allowed.items <= self.catalogue.largest:
            raise InputError(
                f"filters know items 0 to {allowed.items - 1:,}, but the index holds item {self.catalogue.largest:,}; "
                "give availability for every item"
            )
        return self._search.search(checked_queries(vectors, self.dim), k, allowed)

    def save(self, folder: Path) -> None:
        """Write the index, always as one for the host, into ``folder``: whole, or the folder is as it was.

        Raises:
            OSError: if it cannot be written.
        """
        write_index(folder, self.catalogue, self.host, self.facts)

    @classmethod
    def load(
        cls, folder: Path, gpus: int | None = None, towers: str | None = None, *, mapped: bool = False
    ) -> ItemIndex:
        """Read what ``save`` wrote; ``mapped`` leaves inverted lists on disk. Errors as ``storage.read_index``."""
        catalogue, index, facts = read_index(folder, towers, mapped)
        return cls(catalogue, index, facts, 0 if mapped else gpus)


def checked_queries(vectors: NDArray[np.floating], dim: int) -> NDArray[np.float32]:
    """Return query vectors as FAISS takes them.

    Raises:
        InputError: for another width, or NaN or infinity.
    """
    # FAISS itself answers a wrong width with an AssertionError that has no text.
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise InputError(
            f"queries have shape {vectors.shape}, but the index holds {dim}-wide vectors; "
            "encode them with the towers that this index was built from"
        )
    # A sum is finite only if all are, so that the rows are looked at one by one only where something may be wrong.
    if not np.isfinite(vectors.sum()):
        wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(wrong):
            raise InputError(
                f"{len(wrong):,} of {len(vectors):,} query vectors hold NaN or infinity (first: rows "
                f"{wrong[:3].tolist()}), and nothing is near them"
            )
    return np.ascontiguousarray(vectors, dtype=np.float32)
