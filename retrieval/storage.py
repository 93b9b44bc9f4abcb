"""An index on disk: ``items.N.faiss``, ``ids.N.npy``, ``vectors.N.npy`` unless the first has them, and ``index.json``.

N, the generation, grows with every write into the folder, and ``index.json`` names the files in force. They lie whole
on the disk before it steps in, in one rename, and the former ones go only then: a write that fails or is killed at any
moment leaves the former index in force, and a reader sees the former or the new one. There may be one writer at a time.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from commerce.durable import flush
from configs.errors import InputError
from retrieval.catalogue import Catalogue

FORMAT = 3
"""Version of the files' layout; only this one is read."""
ITEMS, IDS, VECTORS, FACTS = "items", "ids", "vectors", "index.json"
_SUFFIX = {ITEMS: "faiss", IDS: "npy", VECTORS: "npy"}
_OURS = re.compile(r"\.?(items\.\d+\.faiss|(ids|vectors)\.\d+\.npy|index\.json)(\.tmp)?")
_READS = 5
"""Times that an index is read anew when a writer replaced it meanwhile."""


def write_index(folder: Path, catalogue: Catalogue, index: Any, facts: Mapping[str, Any]) -> None:
    """Write an index into ``folder``; ``facts`` go into ``index.json`` beside what is needed to read it.

    Raises:
        OSError: if it cannot be written; what was in force there still is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    exact = isinstance(index, faiss.IndexFlat)
    writers: dict[str, Callable[[Path], None]] = {
        ITEMS: lambda path: _write_faiss(index, path),
        IDS: lambda path: _write_array(catalogue.ids, path),
    }
    if not exact:
        writers[VECTORS] = lambda path: _write_array(catalogue.vectors, path)
    generation = _generation(folder) + 1
    names = {part: f"{part}.{generation}.{_SUFFIX[part]}" for part in writers}
    temporary = {name: folder / f".{name}.tmp" for name in (*names.values(), FACTS)}
    try:
        for part, write in writers.items():
            write(temporary[names[part]])
        whole = {
            **facts,  # those of a loaded index name its former rows and files, so they come first
            "format": FORMAT,
            "faiss": faiss.__version__,
            "metric": "inner product",
            "items": catalogue.items,
            "rows": len(catalogue),
            "dim": catalogue.dim,
            "exact": exact,
            "generation": generation,
            "files": names,
            "bytes": {part: temporary[name].stat().st_size for part, name in names.items()},
        }
        temporary[FACTS].write_text(json.dumps(whole, indent=1))
        for name, path in temporary.items():
            flush(path)
            if name != FACTS:
                os.replace(path, folder / name)
        flush(folder)
        os.replace(temporary[FACTS], folder / FACTS)
    except BaseException:
        for path in (*temporary.values(), *(folder / name for name in names.values())):
            path.unlink(missing_ok=True)
        raise
    flush(folder)
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name) and path.name not in (FACTS, *names.values()):
            path.unlink(missing_ok=True)


def read_index(folder: Path, towers: str | None = None, mapped: bool = False) -> tuple[Catalogue, Any, dict[str, Any]]:
    """Return catalogue, FAISS's index and facts.

    Args:
        folder: as ``write_index`` left it.
        towers: what must have made the vectors; not asked when left out.
        mapped: whether the lists of an inverted file stay on disk, memory-mapped; compressed codes of four bits do not.

    Raises:
        FileNotFoundError: if a file is missing.
        InputError: if they are of another format, other towers or a newer FAISS, unreadable, or do not belong together.
    """
    for _ in range(_READS):
        generation = _generation(folder)
        try:
            return _read(folder, towers, mapped)
        except (FileNotFoundError, InputError):
            if _generation(folder) == generation:
                raise
    return _read(folder, towers, mapped)


def _read(folder: Path, towers: str | None, mapped: bool) -> tuple[Catalogue, Any, dict[str, Any]]:
    facts = _read_facts(folder)
    if towers is not None and facts["towers"] != towers:
        raise InputError(
            f"{folder} holds the vectors of other towers ({facts['towers'][:12] or 'unnamed'}, but {towers[:12]} ask); "
            "run `mercato index CONFIG` after the towers have embedded the items"
        )
    items, numbers = folder / facts["files"][ITEMS], folder / facts["files"][IDS]
    index: Any
    try:
        index = faiss.read_index(str(items), faiss.IO_FLAG_MMAP if mapped and not facts["exact"] else 0)
    except RuntimeError as error:
        raise InputError(
            f"{items} is not a FAISS index that FAISS {faiss.__version__} reads (FAISS {facts['faiss']} wrote "
            f"it): {str(error).splitlines()[0]}"
        ) from error
    ids = np.load(numbers, allow_pickle=False)
    vectors = (
        vectors_of(index)
        if facts["exact"]
        else np.load(folder / facts["files"][VECTORS], mmap_mode="r", allow_pickle=False)
    )
    shapes = {(index.ntotal, index.d), (len(ids), index.d), vectors.shape, (facts["rows"], facts["dim"])}
    if len(shapes) > 1 or facts["exact"] != isinstance(index, faiss.IndexFlat):
        raise InputError(
            f"the files in {folder} do not belong together: {FACTS} says {facts['rows']:,} rows of width "
            f"{facts['dim']}, {items.name} holds {index.ntotal:,} of width {index.d} ({type(index).__name__}), "
            f"{numbers.name} {len(ids):,}; write the index again"
        )
    return Catalogue(ids, vectors), index, facts


def vectors_of(flat: faiss.IndexFlat) -> NDArray[np.float32]:
    """Return a flat index's vectors, ``[rows, dim]``, without copying them: they live as long as it does."""
    vectors: NDArray[np.float32] = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d)
    return vectors


def faiss_file(folder: Path) -> Path:
    """Return FAISS's own file of the index in force in ``folder``."""
    return folder / str(_read_facts(folder)["files"][ITEMS])


def ids_file(folder: Path) -> Path:
    """Return the file of the item ids by row, ``NO_ITEM`` where a row has none, of the index in force."""
    return folder / str(_read_facts(folder)["files"][IDS])


def index_files(folder: Path) -> list[Path]:
    """Return the files of the index in force in ``folder``."""
    return [*(folder / name for name in _read_facts(folder)["files"].values()), folder / FACTS]


def _generation(folder: Path) -> int:
    """Return the generation in force, 0 where there is none."""
    try:
        return int(json.loads((folder / FACTS).read_text())["generation"])
    except (FileNotFoundError, KeyError, ValueError):
        return 0


def _read_facts(folder: Path) -> dict[str, Any]:
    if not (folder / FACTS).is_file():
        raise FileNotFoundError(f"{folder} lacks {FACTS}; run `mercato index CONFIG` to write the index")
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
    if facts.get("format") != FORMAT:
        raise InputError(
            f"{folder} holds an index of format {facts.get('format')!r}, but {FORMAT} was expected; run `mercato index "
            "CONFIG` to write it again"
        )
    missing = [name for name in facts["files"].values() if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}; run `mercato index CONFIG` to write the index")
    if _numbers(facts["faiss"]) > _numbers(faiss.__version__):
        raise InputError(
            f"{folder} was written by FAISS {facts['faiss']}, which is newer than FAISS {faiss.__version__} here; "
            "install that version or build the index again"
        )
    if not facts["exact"] and facts["faiss"] != faiss.__version__:
        warnings.warn(
            f"{folder}: its recall was measured with FAISS {facts['faiss']}, and FAISS {faiss.__version__} searches it",
            stacklevel=5,
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
