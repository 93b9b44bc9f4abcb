"""Families of FAISS structures that may be faster than looking at every item, and how hard each looks.

Every structure answers with rows, which are then scored again from the raw vectors; so what it loses by compression
is only what it fails to bring up among the neighbours fetched.

- ``flat``: every vector, none left out (exact);
- ``ivf-flat``: vectors in cells around k-means centroids, the nearest of which are looked at (Sivic, Zisserman 2003);
- ``ivf-sq8``: the same, a byte a number;
- ``ivf-pq``: the same, four bits for two or four numbers, looked up in registers (Jegou et al. 2011, Andre et al.
  2017);
- ``hnsw``: a graph of near neighbours in layers (Malkov and Yashunin 2016).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from retrieval.catalogue import Catalogue
from retrieval.device import Device

faiss: Any = typed_faiss
"""FAISS's own type stubs lack much of what it has."""

FAMILIES = ("flat", "ivf-flat", "ivf-sq8", "ivf-pq", "hnsw")
COMPRESSED = ("ivf-sq8", "ivf-pq")
"""Those that hold codes in the place of vectors."""
_CELLS_PER_ROOT = (1, 2, 4)
"""Cells, in multiples of the root of the number of items, to the next power of two."""
_POINTS_PER_CELL = 64
"""Items a cell that k-means learns from, at most; FAISS warns below 39."""
_ROUNDS = 10
"""Of k-means."""
_LINKS = 32
_GRAPH_REACH = 80
"""HNSW's M, and its efConstruction."""
_FACTORS = {
    "ivf-flat": (1.0,),
    "ivf-sq8": (1.0, 1.25, 1.5, 2.0),
    "ivf-pq": (1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0),
    "hnsw": (1.0,),
}
"""Neighbours fetched for each that is asked for: those of a compressed family are out of order."""

MOST_NODES = 64
"""Of a graph kept in view at most, for each item of a list."""
_STEP = 1.25
"""By which an effort grows where it misses a promise."""
_MOST_FETCHED = 32.0
"""Neighbours fetched for one at most, by structures whose codes are compressed."""


@dataclass(frozen=True)
class Effort:
    """How hard a search looks."""

    reach: int
    """Cells looked at (nprobe), or nodes of the graph kept in view (efSearch)."""
    factor: float
    """Neighbours fetched for each that is asked for."""

    def fetch(self, k: int) -> int:
        """Return the neighbours fetched for lists of ``k``."""
        return int(np.ceil(self.factor * k))


@dataclass(frozen=True)
class Structure:
    """One FAISS structure, not built yet."""

    family: str
    factory: str
    """FAISS's own name of it."""
    cells: int
    """0 for a graph."""
    estimate: int
    """Bytes that it will hold, about."""

    @property
    def factors(self) -> Sequence[float]:
        """Values of ``Effort.factor`` that are worth a try."""
        return _FACTORS[self.family]

    def first_reach(self, at_k: int) -> int:
        """Return the least reach that is worth a try."""
        return 1 if self.cells else at_k

    def last_reach(self, at_k: int) -> int:
        """Return the reach beyond which it makes no sense to look."""
        return self.cells or MOST_NODES * at_k


@dataclass(frozen=True)
class Built:
    """A structure with all items in it, on the host."""

    structure: Structure
    index: Any
    bytes: int
    seconds: float
    """Training included."""


def structures(items: int, dim: int, families: Sequence[str]) -> Iterator[Structure]:
    """Yield what is worth building for a catalogue; ``flat`` is no structure to build, for exact search holds it."""
    raw = 4 * dim * items
    counts = sorted({_cells(items, per_root) for per_root in _CELLS_PER_ROOT})
    for cells in counts:
        centroids = 4 * dim * cells
        if "ivf-flat" in families:
            yield Structure("ivf-flat", f"IVF{cells},Flat", cells, raw + 8 * items + centroids)
        if "ivf-sq8" in families:
            yield Structure("ivf-sq8", f"IVF{cells},SQ8", cells, raw // 4 + 8 * items + centroids)
        if "ivf-pq" in families:
            for parts in _parts(dim):
                yield Structure("ivf-pq", f"IVF{cells},PQ{parts}x4fs", cells, items * (parts // 2 + 8) + centroids)
    if "hnsw" in families:
        yield Structure("hnsw", f"HNSW{_LINKS},Flat", 0, raw + 4 * items * (2 * _LINKS + 4))


def build_all(catalogue: Catalogue, wanted: Sequence[Structure], seed: int, device: Device) -> Iterator[Built]:
    """Build structures over ``catalogue``, which has no tombstones; cells are learned once for each number of them."""
    centroids: dict[int, tuple[NDArray[np.float32], float]] = {}
    for structure in wanted:
        if structure.cells and structure.cells not in centroids:
            started = time.perf_counter()
            learned = device.centroids(
                catalogue.vectors, structure.cells, rounds=_ROUNDS, points_per_cell=_POINTS_PER_CELL, seed=seed
            )
            centroids[structure.cells] = learned, time.perf_counter() - started
        started = time.perf_counter()
        index = faiss.index_factory(catalogue.dim, structure.factory, faiss.METRIC_INNER_PRODUCT)
        seconds = 0.0
        if structure.cells:
            learned, seconds = centroids[structure.cells]
            # With all cells in it the quantizer counts as trained, and train() learns the codes alone.
            faiss.downcast_index(index.quantizer).add(learned)
            if structure.family == "ivf-pq":
                index.pq.cp.seed = seed
        else:
            index.hnsw.efConstruction = _GRAPH_REACH
        index.train(catalogue.vectors)
        index = device.fill(index, catalogue.vectors, structure.family)
        yield Built(structure, index, size_of(index), seconds + time.perf_counter() - started)


def search_parameters(index: Any, reach: int, selector: Any = None) -> Any:
    """Return FAISS's parameters of one search."""
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(efSearch=reach, sel=selector)
    return faiss.SearchParametersIVF(nprobe=min(reach, index.nlist), sel=selector)


def set_effort(index: Any, effort: Effort) -> None:
    """Make ``effort`` the index's own, so that it is written with it and holds for whoever else reads the file."""
    if isinstance(index, faiss.IndexHNSW):
        index.hnsw.efSearch = effort.reach
    else:
        index.nprobe = min(effort.reach, index.nlist)


def size_of(index: Any) -> int:
    """Return the bytes of an index as it is written, which is about what it holds in memory."""
    size = 0

    def count(block: bytes) -> None:
        nonlocal size
        size += len(block)

    writer = faiss.PyCallbackIOWriter(count)
    faiss.write_index(index, writer)
    del writer  # it hands on the last block when it goes
    return size


def further(effort: Effort, scale: float) -> Effort:
    """Return an effort that reaches ``scale`` times as far."""
    return replace(effort, reach=int(np.ceil(effort.reach * scale)))


def ever_further(effort: Effort, index: Any, at_k: int, family: str) -> Iterator[Effort]:
    """Yield an effort, then ever larger ones: more cells or nodes, then more neighbours from codes.

    Args:
        effort: the first.
        index: FAISS's, whose cells bound the reach; that of a graph is bounded by ``MOST_NODES``.
        at_k: length of the lists.
        family: of ``FAMILIES``.
    """
    yield effort
    most = MOST_NODES * at_k if isinstance(index, faiss.IndexHNSW) else index.nlist
    while effort.reach < most:
        effort = replace(effort, reach=min(max(further(effort, _STEP).reach, effort.reach + 1), most))
        yield effort
    while family in COMPRESSED and effort.factor < _MOST_FETCHED:
        effort = replace(effort, factor=_STEP * effort.factor)
        yield effort


def _cells(items: int, per_root: int) -> int:
    wanted = 2 ** int(np.round(np.log2(max(1.0, per_root * np.sqrt(items)))))
    # FAISS's k-means wants several items a cell.
    return int(max(1, min(wanted, 2 ** int(np.log2(max(1, items // 8))))))


def _parts(dim: int) -> list[int]:
    """Return how many parts a vector is cut into for product quantization: of two numbers, and of four."""
    return [dim // width for width in (2, 4) if dim % width == 0 and dim // width >= 2]
