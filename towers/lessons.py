"""Lessons: lists of the retriever with a teacher's scores, at moments just before targets that training draws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from commerce.records import LESSONS, read_table, write_table


@dataclass(frozen=True)
class Lessons:
    """Lists by target; a target without one is not listed."""

    position: NDArray[np.int64]
    """``[lessons]``: absolute position of the target event in the histories, ascending."""
    items: NDArray[np.int32]
    """``[lessons, length]``: in the retriever's order, -1 padded."""
    scores: NDArray[np.float32]
    """``[lessons, length]``: the teacher's, in nats; anything past a list's end."""

    def __len__(self) -> int:
        return len(self.position)

    def write(self, file: Path) -> None:
        """Write as the record ``LESSONS``."""
        row, rank = np.nonzero(self.items >= 0)
        columns = (self.position[row], rank.astype(np.int32), self.items[row, rank], self.scores[row, rank])
        write_table(pa.table(dict(zip(LESSONS.names, columns, strict=True))), LESSONS, "lessons", file)

    @classmethod
    def read(cls, file: Path) -> Lessons:
        """Read what ``write`` wrote.

        Raises:
            ValueError: if the file holds another record, or another version of it.
        """
        table = read_table("lessons", file)
        rank = table["rank"].to_numpy()
        position, row = np.unique(table["position"].to_numpy(), return_inverse=True)
        shape = len(position), int(rank.max()) + 1 if len(rank) else 0
        items, scores = np.full(shape, -1, dtype=np.int32), np.zeros(shape, dtype=np.float32)
        items[row, rank], scores[row, rank] = table["item"].to_numpy(), table["score"].to_numpy()
        return cls(position, items, scores)

    def of(self, position: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which of some target events have a lesson and where it stands among all, int64 ``[found]`` each."""
        if not len(self):
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        place = np.minimum(np.searchsorted(self.position, position), len(self) - 1)
        found = np.flatnonzero(self.position[place] == position)
        return found, place[found]
