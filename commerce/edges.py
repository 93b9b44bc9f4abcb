"""The association graph as arrays: which items go with which, and how strongly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Edges:
    """Weighted edges from each item to others, strongest first.

    The edges of item i are ``other[offsets[i]:offsets[i + 1]]``; an item without edges has an empty span.
    """

    offsets: NDArray[np.int64]
    """``[items + 1]``."""
    other: NDArray[np.int32]
    """``[edges]``: item codes."""
    weight: NDArray[np.float32]
    """``[edges]``; falling in size within an item's span, ties by item code. Those of associations are positive."""

    @classmethod
    def none(cls, items: int) -> Edges:
        """Return the graph in which nothing goes with anything."""
        return cls(np.zeros(items + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))

    @property
    def items(self) -> int:
        """Number of items, with and without edges."""
        return len(self.offsets) - 1

    def save(self, path: Path) -> None:
        """Write an ``.npz`` that NumPy alone reads."""
        np.savez(path, offsets=self.offsets, other=self.other, weight=self.weight)

    @classmethod
    def load(cls, path: Path) -> Edges:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["offsets"], arrays["other"], arrays["weight"])
