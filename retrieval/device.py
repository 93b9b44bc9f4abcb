"""Where an index is built and batches are searched: the GPUs that FAISS sees, or the host.

What is written and what ships is always a copy on the host, and promises are measured on that copy. Not yet measured
on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

GPU_MOST = 2048
"""FAISS on a GPU answers at most this many neighbours."""
ON_GPUS = ("flat", "ivf-flat", "ivf-sq8")
"""Families that FAISS has on a GPU; fast-scan codes and HNSW it has not."""


@dataclass(frozen=True)
class Device:
    """Some GPUs, or none."""

    gpus: int

    @classmethod
    def find(cls, gpus: int | None = None) -> Device:
        """Return the device of ``gpus`` GPUs; None takes those that FAISS sees, 0 the host."""
        return cls(faiss.get_num_gpus() if gpus is None else gpus)

    def holds(self, family: str) -> bool:
        """Return whether a structure of ``family`` can lie on the device's GPUs."""
        return self.gpus > 0 and family in ON_GPUS

    def copy(self, index: Any) -> Any:
        """Return a copy of a host's index on the GPUs, which answers as many as there are in parallel."""
        return faiss.index_cpu_to_all_gpus(index, ngpu=self.gpus)

    def centroids(
        self, vectors: NDArray[np.float32], cells: int, *, rounds: int, points_per_cell: int, seed: int
    ) -> NDArray[np.float32]:
        """Return ``[cells, dim]`` k-means centroids of directions, the most costly part of building an IVF."""
        kmeans = faiss.Kmeans(
            vectors.shape[1],
            cells,
            niter=rounds,
            spherical=True,
            seed=seed,
            min_points_per_centroid=1,
            max_points_per_centroid=points_per_cell,
            gpu=self.gpus if self.gpus else False,
        )
        kmeans.train(vectors)
        learned: NDArray[np.float32] = np.asarray(kmeans.centroids)
        return learned

    def fill(self, index: Any, vectors: NDArray[np.float32], family: str) -> Any:
        """Add ``vectors`` to a trained index, on a GPU where it has the family, and return it on the host."""
        if not self.holds(family):
            index.add(vectors)
            return index
        # One GPU is enough: several would each encode all of them.
        there = faiss.index_cpu_to_all_gpus(index, ngpu=1)
        there.add(vectors)
        return faiss.index_gpu_to_cpu(there)
