"""Files that are whole or as they were: a temporary name, a flush, a rename, and a flush of the folder."""

from __future__ import annotations

import os
from pathlib import Path


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, lie on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_tree(folder: Path) -> None:
    """Wait until every file below ``folder``, and the folders themselves, lie on the disk."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() or path.is_dir():
            flush(path)
    flush(folder)


def put_in_place(temporary: Path, file: Path) -> None:
    """Flush a finished file to disk and rename it to ``file``, in the same folder."""
    flush(temporary)
    os.replace(temporary, file)
    flush(file.parent)


def write_atomic(path: Path, text: str) -> None:
    """Write a small file so that it is either whole or as it was."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    put_in_place(temporary, path)
