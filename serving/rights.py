"""What holds for a bundle whatever its models say: items that are blocked, and users who asked not to be profiled.

Both lists are text files beside the bundle, so that they outlive it and change without a new one; a bundle may carry
users who opted out besides. A changed file counts from the next request on. Item ids are written as they are, users as
keyed hashes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from commerce.durable import write_atomic
from configs.errors import InputError
from serving.strings import Strings
from serving.user_keys import UserKeyError, digest, key_check

BLOCKED = "blocked.txt"
"""Beside the bundle: an item id a line that must not come up."""
OPT_OUT = "opt-out.txt"
"""Beside the bundle, and in it for those who had opted out when it was made: ``key CHECK``, then a keyed hash of a user
id a line, in hex."""
_KEY = "key "
_HASH = re.compile(r"[0-9a-f]{64}")


class ListFile:
    """The lines of a text file that may change, or not be there, at any time."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is read when first asked for, and again whenever it has changed."""
        self.path = path
        self._state: tuple[int, int, int] | None = None
        self._lines: tuple[str, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """Return its lines without white space around them and without empty ones; none where there is no file."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._state, self._lines = None, ()
            return self._lines
        state = (found.st_ino, found.st_mtime_ns, found.st_size)
        if state != self._state:
            text = self.path.read_text(encoding="utf-8-sig")
            self._lines = tuple(line.strip() for line in text.splitlines() if line.strip())
            self._state = state
        return self._lines


class Rights:
    """Who is not to be profiled and what is not to be shown."""

    def __init__(self, bundle: Path, *, beside: bool = True) -> None:
        """Read the lists of the bundle in folder ``bundle``; ``beside=False`` leaves out those that lie beside it."""
        folder = bundle.absolute().parent
        self._blocked = ListFile(folder / BLOCKED) if beside else None
        self._opt_outs = [ListFile(place / OPT_OUT) for place in ((bundle, folder) if beside else (bundle,))]
        self._codes: tuple[tuple[str, ...], NDArray[np.int32]] | None = None
        self._hashes: dict[Path, tuple[tuple[str, ...], frozenset[bytes]]] = {}

    def blocked(self, item_ids: Strings) -> NDArray[np.int32]:
        """Return the codes of the blocked items, ``[any]``; ids that the bundle does not have are of no account."""
        lines = self._blocked.lines() if self._blocked else ()
        if self._codes is None or self._codes[0] is not lines:
            codes = np.array([item_ids.code(line) for line in lines], dtype=np.int32)
            self._codes = lines, codes[codes != NO_ITEM]
        return self._codes[1]

    def opted_out(self, user: str | None, key: Callable[[], bytes | None]) -> bool:
        """Return whether ``user`` asked not to be profiled.

        Args:
            user: the shop's id, None for somebody unknown.
            key: gives the key of the user-id hashes; asked only where there is a list.

        Raises:
            UserKeyError: if there is a list, and no key to look the user up, or another one: nobody may be profiled.
        """
        listed = [(file.path, lines) for file in self._opt_outs if (lines := file.lines())]
        if user is None or not listed:
            return False
        found = key()
        if found is None:
            raise UserKeyError(
                f"users have opted out under keyed hashes, and there is no key to see whether user {user} has; set the "
                "key's environment variable as at export, or ask with personalise=false"
            )
        wanted = digest(found, user)
        return any(wanted in self._digests(path, lines, found) for path, lines in listed)

    def _digests(self, path: Path, lines: tuple[str, ...], key: bytes) -> frozenset[bytes]:
        known = self._hashes.get(path)
        if known is None or known[0] is not lines:
            known = self._hashes[path] = lines, read_digests(path, lines, key)
        return known[1]


def opt_out(bundle: Path, user: str, key: bytes, *, undo: bool = False) -> tuple[Path, bool]:
    """Put a user on the list beside a bundle, or take them off it; return the file, and whether it changed.

    Raises:
        UserKeyError: if the list was made with another key.
    """
    path = bundle.absolute().parent / OPT_OUT
    lines = ListFile(path).lines()
    listed = set(read_digests(path, lines, key)) if lines else set()
    wanted = digest(key, user)
    changed = (wanted in listed) == undo
    if changed:
        listed ^= {wanted}
        write_atomic(path, digests_text(listed, key))
    return path, changed


def digests_text(digests: Collection[bytes], key: bytes) -> str:
    """Return the text of a list of keyed hashes."""
    return "\n".join([f"{_KEY}{key_check(key)}", *sorted(row.hex() for row in digests)]) + "\n"


def block(bundle: Path, item: str, *, undo: bool = False) -> tuple[Path, bool]:
    """Put an item on the list beside a bundle, or take it off it; return the file, and whether it changed."""
    path = bundle.absolute().parent / BLOCKED
    lines = list(dict.fromkeys(ListFile(path).lines()))
    changed = (item in lines) == undo
    if changed:
        lines = [line for line in lines if line != item] if undo else [*lines, item]
        write_atomic(path, "".join(f"{line}\n" for line in lines))
    return path, changed


def read_digests(path: Path, lines: Sequence[str], key: bytes) -> frozenset[bytes]:
    """Return the hashes that the lines of a list hold; ``path`` is named where they are not as they should be.

    Raises:
        UserKeyError: if the list was made with another key.
        InputError: for a line that is no hash.
    """
    if lines[0] != f"{_KEY}{key_check(key)}":
        raise UserKeyError(
            f"{path} begins with {lines[0]!r}, but the key at hand makes {_KEY + key_check(key)!r}: whom it names "
            "cannot be told; give the key that the list was made with"
        )
    wrong = [line for line in lines[1:] if not _HASH.fullmatch(line)]
    if wrong:
        raise InputError(f"{path} holds {wrong[0]!r}, but a hash of 64 hex digits a line was expected; mend that line")
    return frozenset(bytes.fromhex(line) for line in lines[1:])
