"""Writes candidates request by request as one growing Parquet file, so that a window of any size fits into memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from commerce.record_writer import RecordWriter
from commerce.records import CANDIDATES

BLEND = "blend"
"""Source of the rows that hold the blended order."""


class CandidateWriter(RecordWriter):
    """Writes a ``CANDIDATES`` file, one row group for every block of requests."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "candidates", CANDIDATES)

    def write(
        self,
        request_id: NDArray[np.int64],
        items: NDArray[np.int32],
        scores: NDArray[np.float32],
        sources: tuple[str, ...],
        ranks: NDArray[np.int32],
        source_scores: NDArray[np.float32],
    ) -> None:
        """Append a block; each request's rows lie together, the blend first, then source by source.

        Args:
            request_id: ``[requests]``.
            items: ``[requests, keep]`` in blended order, ``NO_ITEM`` padded.
            scores: ``[requests, keep]``: of the blend.
            sources: names, in the order of the last axis below.
            ranks: ``[requests, keep, sources]``, from 0; -1 where the source did not find the item.
            source_scores: ``[requests, keep, sources]``.
        """
        place = np.broadcast_to(np.arange(items.shape[1], dtype=np.int32), items.shape)
        place = np.where(items == NO_ITEM, -1, place)
        every_rank = np.concatenate([place[:, None], ranks.transpose(0, 2, 1)], axis=1)
        every_score = np.concatenate([scores[:, None], source_scores.transpose(0, 2, 1)], axis=1)
        row, source, column = np.nonzero(every_rank >= 0)
        rank = every_rank[row, source, column]
        order = np.lexsort((rank, source, row))
        row, source, column = row[order], source[order], column[order]
        names = pa.DictionaryArray.from_arrays(pa.array(source, pa.int32()), pa.array([BLEND, *sources]))
        table = pa.table(
            [
                pa.array(request_id[row]),
                pa.array(items[row, column]),
                names.cast(pa.string()),
                pa.array(rank[order]),
                pa.array(every_score[row, source, column]),
            ],
            schema=self.schema,
        )
        self.file.write_table(table)
