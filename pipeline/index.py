"""Index: the item vectors in FAISS, to the promise that the config makes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.run_folder import RunFolder, sha256
from pipeline.stage import Outcome, Work
from retrieval.index import ItemIndex
from retrieval.promise import said

GB = 10**9


def index(work: Work) -> Outcome:
    """Write the index and, in ``index.json``, how it was chosen."""
    settings, embedded = work.config.retrieval, work.run.stage("embed")
    vectors = np.load(embedded / "item_vectors.npy", mmap_mode="r")
    built = ItemIndex.build(
        np.arange(len(vectors)),
        vectors,
        _sample(work, "validation"),
        fresh=_sample(work, "test"),
        towers=towers_of(work.run),
        target_recall=settings.target_recall,
        at_k=settings.at_k,
        exact_below_ms=settings.exact_below_ms,
        budget_bytes=round(settings.index_budget_gb * GB) or None,
        tune_for=settings.tune_for,
        families=tuple(settings.index_families),
        seed=work.config.run.seed,
    )
    built.save(work.out)
    where = "on the GPU" if built.on_gpu else "on the processor"
    told = said(built.facts["promise"])
    return Outcome([f"{len(built):,} items of width {built.dim}, searched {where}; {told}"])


def towers_of(run: RunFolder) -> str:
    """Return what names the towers in an index: the hash of the item vectors that they gave."""
    return sha256(run.stage("embed") / "item_vectors.npy")


def _sample(work: Work, window: str) -> NDArray[np.float32]:
    """Return user vectors of a window's requests, evenly over them all, at most ``retrieval.index_queries``."""
    vectors = np.load(work.run.stage("embed") / f"users_{window}.npy", mmap_mode="r")
    most = min(work.config.retrieval.index_queries, len(vectors))
    sample: NDArray[np.float32] = np.array(vectors[np.linspace(0, len(vectors) - 1, most, dtype=np.int64)])
    return sample
