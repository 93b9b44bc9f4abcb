"""Mined negatives as training reads them: items that looked right to the round before and were not chosen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from commerce.records import read_table


@dataclass(frozen=True)
class Mined:
    """Negatives by target; a target without any is not listed."""

    position: NDArray[np.int64]
    """``[targets]``: absolute position of the target event in the histories, ascending."""
    items: NDArray[np.int32]
    """``[targets, mined]``: hardest first, -1 padded."""

    @classmethod
    def read(cls, file: Path) -> Mined:
        """Read a file of the record ``MINED``.

        Raises:
            ValueError: if it holds another record, or another version of it.
        """
        table = read_table("mined", file)
        position, rank = table["position"].to_numpy(), table["rank"].to_numpy()
        known, row = np.unique(position, return_inverse=True)
        items = np.full((len(known), int(rank.max()) + 1 if len(rank) else 0), -1, dtype=np.int32)
        items[row, rank] = table["item"].to_numpy()
        return cls(known, items)

    def of(self, position: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the negatives of target events, int64 ``[events, mined]``, -1 where there are none."""
        if not len(self.position):
            return np.zeros((len(position), 0), dtype=np.int64)
        place = np.minimum(np.searchsorted(self.position, position), len(self.position) - 1)
        found = self.items[place].astype(np.int64)
        found[self.position[place] != position] = -1
        return found
