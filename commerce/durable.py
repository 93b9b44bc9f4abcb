"""Files that are whole or as they were: a temporary name, a flush, a rename, and a flush of the folder."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from pathlib import Path

_AT_FDCWD, _EXCHANGE = -100, 2
"""Of Linux's renameat2(2)."""


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


def replace_folder(temporary: Path, final: Path) -> None:
    """Flush ``temporary`` to disk and put it in the place of ``final``, beside it.

    On Linux the two change places in one step, so that whoever looks finds the former folder or the new one. Where the
    file system cannot do that the former one steps aside first, and a kill between the two renames leaves it under
    ``.NAME.old``.
    """
    flush_tree(temporary)
    former = final.with_name(f".{final.name}.old")
    shutil.rmtree(former, ignore_errors=True)
    if not final.exists():
        os.replace(temporary, final)
    elif _exchange(temporary, final):
        os.replace(temporary, former)
    else:
        os.replace(final, former)
        os.replace(temporary, final)
    flush(final.parent)
    shutil.rmtree(former, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where the system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0:
        return True
    failed = ctypes.get_errno()
    if failed in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(failed, os.strerror(failed), str(one), None, str(other))
