"""An index on disk: ``items.faiss``, ``ids.npy``, ``index.json`` and, unless the first holds them, ``vectors.npy``.

Everything is written beside its place and flushed; only when all of it lies on the disk do the files step in. So a
write that fails, on a full disk say, leaves the former index as it was.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from retrieval.catalogue import Catalogue

FORMAT = 2
"""Version of the files' layout; only this one is read."""
ITEMS, IDS, VECTORS, FACTS = "items.faiss", "ids.npy", "vectors.npy", "index.json"


def write_index(folder: Path, catalogue: Catalogue, index: Any, facts: Mapping[str, Any]) -> None:
    """Write an index into ``folder``; ``facts`` go into ``index.json`` beside what is needed to read it.

    Raises:
        OSError: if it cannot be written; the folder is as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    exact = isinstance(index, faiss.IndexFlat)
    writers: dict[str, Callable[[Path], None]] = {
        ITEMS: lambda path: _write_faiss(index, path),
        IDS: lambda path: _write_array(catalogue.ids, path),
    }
    if not exact:
        writers[VECTORS] = lambda path: _write_array(catalogue.vectors, path)
    temporary = {name: folder / f".{name}.tmp" for name in (*writers, FACTS)}
    try:
        for name, write in writers.items():
            write(temporary[name])
        sizes = {name: temporary[name].stat().st_size for name in writers}
        whole = {
            "format": FORMAT,
            "faiss": faiss.__version__,
            "metric": "inner product",
            "items": catalogue.items,
            "rows": len(catalogue),
            "dim": catalogue.dim,
            "exact": exact,
            **facts,
            "files": sizes,
        }
        temporary[FACTS].write_text(json.dumps(whole, indent=1))
        for path in temporary.values():
            _flush(path)
    except BaseException:
        for path in temporary.values():
            path.unlink(missing_ok=True)
        raise
    # A kill from here on leaves a folder without facts, never files of two indexes that look like one.
    (folder / FACTS).unlink(missing_ok=True)
    for name in writers:
        os.replace(temporary[name], folder / name)
    if exact:
        (folder / VECTORS).unlink(missing_ok=True)
    os.replace(temporary[FACTS], folder / FACTS)
    _flush(folder)


def read_index(folder: Path, towers: str | None = None) -> tuple[Catalogue, Any, dict[str, Any]]:
    """Return catalogue, FAISS's index and facts.

    Args:
        folder: as ``write_index`` left it.
        towers: what must have made the vectors; not asked when left out.

    Raises:
        FileNotFoundError: if a file is missing.
        InputError: if they are of another format, other towers or a newer FAISS, unreadable, or do not belong together.
    """
    facts = _read_facts(folder)
    if towers is not None and facts["towers"] != towers:
        raise InputError(
            f"{folder} holds the vectors of other towers ({facts['towers'][:12] or 'unnamed'}, but {towers[:12]} ask); "
            "run `mercato index CONFIG` after the towers have embedded the items"
        )
    index: Any
    try:
        index = faiss.read_index(str(folder / ITEMS))
    except RuntimeError as error:
        raise InputError(
            f"{folder / ITEMS} is not a FAISS index that FAISS {faiss.__version__} reads (FAISS {facts['faiss']} wrote "
            f"it): {str(error).splitlines()[0]}"
        ) from error
    ids = np.load(folder / IDS, allow_pickle=False)
    vectors = vectors_of(index) if facts["exact"] else np.load(folder / VECTORS, mmap_mode="r", allow_pickle=False)
    shapes = {(index.ntotal, index.d), (len(ids), index.d), vectors.shape, (facts["rows"], facts["dim"])}
    if len(shapes) > 1 or facts["exact"] != isinstance(index, faiss.IndexFlat):
        raise InputError(
            f"the files in {folder} do not belong together: {FACTS} says {facts['rows']:,} rows of width "
            f"{facts['dim']}, {ITEMS} holds {index.ntotal:,} of width {index.d} ({type(index).__name__}), {IDS} "
            f"{len(ids):,}; write the index again"
        )
    return Catalogue(ids, vectors), index, facts


def vectors_of(flat: faiss.IndexFlat) -> NDArray[np.float32]:
    """Return a flat index's vectors, ``[rows, dim]``, without copying them: they live as long as it does."""
    vectors: NDArray[np.float32] = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d)
    return vectors


def index_files(folder: Path) -> list[Path]:
    """Return the files of the index in ``folder``."""
    return [folder / name for name in (ITEMS, IDS, VECTORS, FACTS) if (folder / name).is_file()]


def _read_facts(folder: Path) -> dict[str, Any]:
    missing = [name for name in (ITEMS, IDS, FACTS) if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}; run `mercato index CONFIG` to write the index")
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
    if facts.get("format") != FORMAT:
        raise InputError(
            f"{folder} holds an index of format {facts.get('format')!r}, but {FORMAT} was expected; run `mercato index "
            "CONFIG` to write it again"
        )
    if not facts["exact"] and not (folder / VECTORS).is_file():
        raise FileNotFoundError(f"{folder} lacks {VECTORS}; run `mercato index CONFIG` to write the index")
    if _numbers(facts["faiss"]) > _numbers(faiss.__version__):
        raise InputError(
            f"{folder} was written by FAISS {facts['faiss']}, which is newer than FAISS {faiss.__version__} here; "
            "install that version or build the index again"
        )
    if not facts["exact"] and facts["faiss"] != faiss.__version__:
        warnings.warn(
            f"{folder}: its recall was measured with FAISS {facts['faiss']}, and FAISS {faiss.__version__} searches it",
            stacklevel=3,
        )
    return facts


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _write_faiss(index: Any, path: Path) -> None:
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        # FAISS reports a full disk as its own error.
        raise OSError(f"{path} could not be written: {str(error).splitlines()[0]}") from error


def _write_array(array: NDArray[Any], path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, array)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
