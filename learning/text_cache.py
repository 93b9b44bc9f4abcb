"""Text vectors kept on disk by content and encoder, so that an unchanged text is never encoded twice."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class TextCache:
    """Vectors of one encoder, in a folder of shards.

    A shard is a pair of arrays, the 16-byte hashes of texts and their vectors, written under its final name in one
    step: a cut-off run leaves a whole shard or none.
    """

    def __init__(self, folder: Path, encoder: str) -> None:
        self._folder = folder / hashlib.sha256(encoder.encode()).hexdigest()[:24]
        self._rows: dict[bytes, tuple[int, int]] = {}
        self._shards: list[NDArray[np.float32]] = []
        for file in sorted(self._folder.glob("*.npz")):
            with np.load(file) as shard:
                self._remember(shard["keys"], shard["vectors"])

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Return the distinct texts, sorted, that have no vector yet; an empty text needs none."""
        return sorted({text for text in texts if text and _key(text) not in self._rows})

    def add(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keep ``vectors``, ``[texts, dim]``."""
        keys = np.frombuffer(b"".join(map(_key, texts)), dtype="V16")
        self._folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(keys.tobytes()).hexdigest()[:24]
        temporary = self._folder / f".{name}.{os.getpid()}.tmp"
        with temporary.open("wb") as file:
            np.savez(file, keys=keys, vectors=vectors)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._folder / f"{name}.npz")
        self._remember(keys, vectors)

    def vectors(self, texts: Sequence[str], dim: int) -> NDArray[np.float32]:
        """Return the vector of each text, ``[texts, dim]``; zeros for an empty one.

        Raises:
            KeyError: for a text that is still missing.
        """
        found = np.zeros((len(texts), dim), dtype=np.float32)
        for row, text in enumerate(texts):
            if text:
                shard, place = self._rows[_key(text)]
                found[row] = self._shards[shard][place]
        return found

    def _remember(self, keys: NDArray[np.void], vectors: NDArray[np.float32]) -> None:
        number = len(self._shards)
        self._shards.append(vectors)
        self._rows.update({key.tobytes(): (number, place) for place, key in enumerate(keys)})


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]
