"""Writes a record block by block as one growing Parquet file, so that data of any size fit into memory."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from commerce.records import VERSION


class RecordWriter:
    """A file of one record; leaving the context closes it."""

    def __init__(self, path: Path, record: str, schema: pa.Schema) -> None:
        """Open a file.

        Args:
            path: of the file.
            record: name of the record, which the file carries with the version.
            schema: of its rows.
        """
        self.schema = schema.with_metadata({"mercato.record": record, "mercato.version": VERSION})
        # Ranks and request ids repeat: zstd halves what snappy leaves of them.
        self.file = pq.ParquetWriter(path, self.schema, compression="zstd")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()
