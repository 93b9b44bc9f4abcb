"""Index: the item vectors in FAISS, to the promise that the config makes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.run_folder import RunFolder, sha256
from pipeline.stage import Outcome, Work
from retrieval.index import ItemIndex
from retrieval.promise import said
from retrieval.sharded import ShardedIndex, shards_said

GB = 10**9


def index(work: Work) -> Outcome:
    """Write the index and, in ``index.json``, how it was chosen."""
    settings, embedded = work.config.retrieval, work.run.stage("embed")
    vectors = np.load(embedded / "item_vectors.npy", mmap_mode="r")
    queries, fresh = (sample_users(work.run, name, settings.index_queries) for name in ("validation", "test"))
    towers = towers_of(work.run)
    promise: dict[str, Any] = {
        "target_recall": settings.target_recall,
        "at_k": settings.at_k,
        "exact_below_ms": settings.exact_below_ms,
        "budget_bytes": round(settings.index_budget_gb * GB) or None,
        "tune_for": settings.tune_for,
        "families": tuple(settings.index_families),
        "seed": work.config.run.seed,
    }
    ids = np.arange(len(vectors))
    if len(vectors) > settings.shard_items:
        shards = ShardedIndex.build(
            work.out, ids, vectors, queries, shard_items=settings.shard_items, fresh=fresh, towers=towers, **promise
        )
        return Outcome([f"{len(shards):,} items of width {shards.dim}, searched on disk; {shards_said(shards)}"])
    built = ItemIndex.build(ids, vectors, queries, fresh=fresh, towers=towers, **promise)
    built.save(work.out)
    where = "on the GPU" if built.on_gpu else "on the processor"
    told = said(built.facts["promise"])
    return Outcome([f"{len(built):,} items of width {built.dim}, searched {where}; {told}"])


def towers_of(run: RunFolder) -> str:
    """Return what names the towers in an index: the hash of the item vectors that they gave."""
    return sha256(run.stage("embed") / "item_vectors.npy")


def sample_users(run: RunFolder, window: str, most: int) -> NDArray[np.float32]:
    """Return user vectors of a window's requests, evenly over them all, at most ``most``, ``[users, dim]``."""
    vectors = np.load(run.stage("embed") / f"users_{window}.npy", mmap_mode="r")
    few = np.linspace(0, len(vectors) - 1, min(most, len(vectors)), dtype=np.int64)
    sample: NDArray[np.float32] = np.array(vectors[few])
    return sample
