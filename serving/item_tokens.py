"""Item texts as the reranker's tokens, cut and closed once at export: a request tokenises only its context."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ItemTokens:
    """Tokens of every item, end to end."""

    ids: NDArray[np.int32]
    """``[tokens]``, special tokens included."""
    offsets: NDArray[np.int64]
    """``[items + 1]``: those of item i are ``ids[offsets[i]:offsets[i + 1]]``."""

    @classmethod
    def open(cls, folder: Path) -> ItemTokens:
        """Memory-map what ``save`` wrote."""
        return cls(np.load(folder / "ids.npy", mmap_mode="r"), np.load(folder / "offsets.npy", mmap_mode="r"))

    def save(self, folder: Path) -> None:
        """Write both arrays into ``folder``, which is made."""
        folder.mkdir(parents=True)
        np.save(folder / "ids.npy", self.ids)
        np.save(folder / "offsets.npy", self.offsets)

    def of(self, item: int) -> list[int]:
        """Return the token ids of an item."""
        tokens: list[int] = self.ids[self.offsets[item] : self.offsets[item + 1]].tolist()
        return tokens
