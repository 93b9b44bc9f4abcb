"""Text vectors kept on disk by content and encoder, so that an unchanged text is never encoded twice."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray


class TextCache:
    """Vectors of one encoder, in a folder of shards.

    A shard is a pair of arrays, the 16-byte hashes of texts and their vectors, written under its final name in one
    step: a cut-off run leaves a whole shard or none.
    """

    def __init__(self, folder: Path, encoder: str) -> None:
        self._folder = folder / hashlib.sha256(encoder.encode()).hexdigest()[:24]

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Return the distinct texts, sorted, that have no vector yet; an empty text needs none."""
        return sorted({text for text in texts if text and _key(text) not in self._rows})

    def add(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keep ``vectors``, ``[texts, dim]``."""
        rows, shards = self._rows, self._shards
        keys = np.frombuffer(b"".join(map(_key, texts)), dtype="V16")
        self._folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(keys.tobytes()).hexdigest()[:24]
        temporary = self._folder / f".{name}.{os.getpid()}.tmp"
        with temporary.open("wb") as file:
            np.savez(file, keys=keys, vectors=vectors)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._folder / f"{name}.npz")
        shards.append(self._folder / f"{name}.npz")
        rows.update({key.tobytes(): (len(shards) - 1, place) for place, key in enumerate(keys)})

    def vectors(self, texts: Sequence[str], dim: int) -> NDArray[np.float32]:
        """Return the vector of each text, ``[texts, dim]``; zeros for an empty one.

        Raises:
            KeyError: for a text that is still missing.
        """
        found = np.zeros((len(texts), dim), dtype=np.float32)
        self._fill(found, texts)
        return found

    def table_file(self, texts: Sequence[str]) -> Path:
        """Return where the vectors of exactly these texts lie, once ``write_table`` was called."""
        return self._folder / f"table-{hashlib.sha256(b''.join(map(_key, texts))).hexdigest()[:24]}.npy"

    def write_table(self, texts: Sequence[str], dim: int) -> None:
        """Write the vector of each text into ``table_file``, float16 ``[texts, dim]``; at most a shard is in memory.

        Raises:
            KeyError: for a text that is still missing.
        """
        file = self.table_file(texts)
        temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
        self._folder.mkdir(parents=True, exist_ok=True)  # where every text is empty, nothing was added
        table = open_memmap(temporary, "w+", np.float16, (len(texts), dim))
        self._fill(table, texts)
        table.flush()
        os.replace(temporary, file)

    def _fill(self, found: NDArray[np.floating], texts: Sequence[str]) -> None:
        """Write the vector of each text that is not empty into its row."""
        filled = [row for row, text in enumerate(texts) if text]
        rows = np.array(filled, dtype=np.int64)
        places = np.array([self._rows[_key(texts[row])] for row in filled], dtype=np.int64).reshape(-1, 2)
        for number in np.unique(places[:, 0]):
            own = places[:, 0] == number
            with np.load(self._shards[number]) as shard:
                found[rows[own]] = shard["vectors"][places[own, 1]]

    @cached_property
    def _shards(self) -> list[Path]:
        return sorted(self._folder.glob("*.npz"))

    @cached_property
    def _rows(self) -> dict[bytes, tuple[int, int]]:
        """Shard and place of each text's vector."""
        rows = dict[bytes, tuple[int, int]]()
        for number, file in enumerate(self._shards):
            with np.load(file) as shard:
                rows.update({key.tobytes(): (number, place) for place, key in enumerate(shard["keys"])})
        return rows


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]
