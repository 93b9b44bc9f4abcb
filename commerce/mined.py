"""Writes mined negatives block by block as one growing Parquet file, so that a log of any size fits into memory."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from commerce.records import MINED, VERSION


class MinedWriter:
    """Writes a ``MINED`` file, one row group for every block of targets."""

    def __init__(self, path: Path) -> None:
        self._schema = MINED.with_metadata({"mercato.record": "mined", "mercato.version": VERSION})
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, position: NDArray[np.int64], items: NDArray[np.int32], scores: NDArray[np.float32]) -> None:
        """Append a block.

        Args:
            position: ``[targets]``, of each target event in the histories.
            items: ``[targets, mined]``, nearest first, ``NO_ITEM`` padded.
            scores: ``[targets, mined]``.
        """
        row, rank = np.nonzero(items != NO_ITEM)
        columns = [position[row], rank.astype(np.int32), items[row, rank], scores[row, rank]]
        self._file.write_table(pa.table([pa.array(column) for column in columns], schema=self._schema))
