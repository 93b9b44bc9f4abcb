"""Strings by code, and codes by string, memory-mapped: item ids and query texts cost nothing to open at any size."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_ARRAYS = ("text", "offsets", "order")


@dataclass(frozen=True)
class Strings:
    """Strings as UTF-8, laid end to end. They may repeat, but are found by content only where they are distinct."""

    text: NDArray[np.uint8]
    """``[bytes]``: the strings' bytes in order of code."""
    offsets: NDArray[np.int64]
    """``[strings + 1]``: string c is ``text[offsets[c]:offsets[c + 1]]``."""
    order: NDArray[np.int32]
    """``[strings]``: codes sorted by their strings' bytes."""

    @classmethod
    def of(cls, strings: Sequence[str]) -> Strings:
        """Lay out ``strings``, where position is code."""
        encoded = [string.encode() for string in strings]
        offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        order = np.array(sorted(range(len(encoded)), key=encoded.__getitem__), dtype=np.int32)
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets, order)

    @classmethod
    def open(cls, folder: Path) -> Strings:
        """Memory-map what ``save`` wrote."""
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS))

    def save(self, folder: Path) -> None:
        """Write one ``.npy`` file per array into ``folder``, which is made."""
        folder.mkdir(parents=True)
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, code: int) -> str:
        if not 0 <= code < len(self):
            raise IndexError(f"code {code} of {len(self)} strings")
        return self._bytes(code).decode()

    def code(self, string: str) -> int:
        """Return the code of ``string``, -1 for an unknown one."""
        wanted = string.encode()
        place = bisect.bisect_left(self.order, wanted, key=self._bytes)
        if place < len(self.order) and self._bytes(self.order[place]) == wanted:
            return int(self.order[place])
        return -1

    def _bytes(self, code: int) -> bytes:
        return self.text[self.offsets[code] : self.offsets[code + 1]].tobytes()
