"""Writes mined negatives block by block as one growing Parquet file, so that a log of any size fits into memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from commerce.record_writer import RecordWriter
from commerce.records import MINED


class MinedWriter(RecordWriter):
    """Writes a ``MINED`` file, one row group for every block of targets."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "mined", MINED)

    def write(self, position: NDArray[np.int64], items: NDArray[np.int32], scores: NDArray[np.float32]) -> None:
        """Append a block.

        Args:
            position: ``[targets]``, of each target event in the histories.
            items: ``[targets, mined]``, nearest first, ``NO_ITEM`` padded.
            scores: ``[targets, mined]``.
        """
        row, rank = np.nonzero(items != NO_ITEM)
        columns = [position[row], rank.astype(np.int32), items[row, rank], scores[row, rank]]
        self.file.write_table(pa.table([pa.array(column) for column in columns], schema=self.schema))
