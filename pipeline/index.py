"""Index: the item vectors in FAISS, exactly."""

from __future__ import annotations

import numpy as np

from pipeline.stage import Outcome, Work
from retrieval.index import ItemIndex


def index(work: Work) -> Outcome:
    """Write ``items.faiss``, ``ids.npy`` and ``index.json``."""
    vectors = np.load(work.run.stage("embed") / "item_vectors.npy", mmap_mode="r")
    built = ItemIndex.build(np.arange(len(vectors)), vectors)
    built.save(work.out)
    where = "on the GPU" if built.on_gpu else "on the processor"
    return Outcome([f"{len(built):,} items of width {built.dim}, exact, searched {where}"])
