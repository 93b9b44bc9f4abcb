"""What a person wants to see of an item (title, brand, price ...): one JSON line each, read only when asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.fields import FieldTable

_LINES = "item_fields.jsonl"
_OFFSETS = "item_fields_offsets.npy"


@dataclass(frozen=True)
class ItemFields:
    """Lines of a JSON-lines file by item code."""

    lines: NDArray[np.uint8]
    """``[bytes]``: the file, memory-mapped."""
    offsets: NDArray[np.int64]
    """``[items + 1]``: where each line starts."""

    @classmethod
    def open(cls, folder: Path) -> ItemFields:
        """Memory-map what ``save_item_fields`` wrote."""
        return cls(np.memmap(folder / _LINES, dtype=np.uint8, mode="r"), np.load(folder / _OFFSETS, mmap_mode="r"))

    def of(self, code: int) -> dict[str, Any]:
        """Return the fields of an item."""
        fields: dict[str, Any] = json.loads(self.lines[self.offsets[code] : self.offsets[code + 1]].tobytes())
        return fields

    @cached_property
    def table(self) -> FieldTable:
        """All fields of all items, for filters; read on first use."""
        return FieldTable(self.of(code) for code in range(len(self.offsets) - 1))


def save_item_fields(source: Path, folder: Path) -> None:
    """Copy a JSON-lines file, whose line i tells of item code i, into ``folder`` and note where its lines start."""
    shutil.copyfile(source, folder / _LINES)
    with source.open("rb") as file:
        sizes = [len(line) for line in file]
    np.save(folder / _OFFSETS, np.cumsum([0, *sizes], dtype=np.int64))


def append_item_fields(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add the fields of further items, in order of their codes."""
    lines = [(json.dumps(row, ensure_ascii=False) + "\n").encode() for row in rows]
    with (folder / _LINES).open("ab") as file:
        file.writelines(lines)
    offsets = np.load(folder / _OFFSETS)
    np.save(folder / _OFFSETS, np.concatenate([offsets, offsets[-1] + np.cumsum([len(line) for line in lines])]))
