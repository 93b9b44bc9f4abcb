"""The plain export: item vectors and their index for teams that use nothing of Mercato."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from retrieval.index_folder import pieces
from retrieval.storage import faiss_file, ids_file

READER = '''\
"""Nearest items by vector: python read.py ITEM_ID [K]. Needs faiss, numpy and pyarrow."""

import sys
from pathlib import Path

import faiss
import numpy as np
import pyarrow.parquet as pq

folder = Path(__file__).parent
ids = pq.read_table(folder / "items.parquet", columns=["item_id"])["item_id"].to_pylist()
vectors = np.load(folder / "vectors.npy", mmap_mode="r")  # float32 [items, dim], unit length: row i is ids[i]
query, k = vectors[ids.index(sys.argv[1])], int(sys.argv[2]) if len(sys.argv) > 2 else 10
files = [(faiss.read_index(str(file)), np.load(file.with_suffix(".npy"))) for file in folder.glob("items-*.faiss")]
rows = np.concatenate([np.append(row, -1)[index.search(query[None], 4 * k)[1][0]] for index, row in files])
scores = np.where(rows < 0, -np.inf, vectors[rows] @ query)
for place in np.argsort(-scores, kind="stable")[: min(k, len(ids))]:
    print(f"{scores[place]:.4f}  {ids[rows[place]]}")
'''


def write_plain(folder: Path, item_ids: Sequence[str], vectors: NDArray[np.float32], index: Path) -> None:
    """Write the index in the folder ``index``, ids and vectors (Parquet and npy) and a reader of a few lines."""
    for number, piece in enumerate(pieces(index)):
        shutil.copyfile(faiss_file(piece), folder / f"items-{number:04d}.faiss")
        shutil.copyfile(ids_file(piece), folder / f"items-{number:04d}.npy")
    np.save(folder / "vectors.npy", vectors)
    flat = pa.array(np.ascontiguousarray(vectors).ravel(), pa.float32())
    columns = {
        "item_id": pa.array(item_ids, pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
    }
    pq.write_table(pa.table(columns), folder / "items.parquet")
    (folder / "read.py").write_text(READER, encoding="utf-8")
