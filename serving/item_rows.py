"""Rows of an items table, read without a dataframe: CSV or JSON lines."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from commerce.columns import MICROSECONDS
from commerce.features import number_or_nan
from configs.errors import InputError

Row = dict[str, Any]


def read_rows(file: Path, columns: Mapping[str, str]) -> list[Row]:
    """Return the rows of ``file`` under our column names; an empty cell is None.

    Args:
        file: ``.csv`` with a head line, or ``.jsonl``.
        columns: ours -> the shop's, where they differ (``data.item_columns``).

    Raises:
        InputError: if it is not there, of another kind or unreadable, empty, or without ids.
    """
    if not file.is_file():
        raise InputError(f"there is no file {file}; name a CSV or JSON-lines file of items")
    kinds = {".csv": _csv_rows, ".jsonl": _json_rows, ".ndjson": _json_rows}
    if file.suffix.lower() not in kinds:
        raise InputError(f"{file.name} is no .csv or .jsonl file; write the items as one of these")
    shops = {theirs: ours for ours, theirs in columns.items()}
    rows = [
        {shops.get(name, name): None if value == "" else value for name, value in row.items()}
        for row in kinds[file.suffix.lower()](file)
    ]
    if not rows:
        raise InputError(f"{file} has no items, so nothing was added")
    for number, row in enumerate(rows, start=1):
        if row.get("item_id") is None:
            wanted = columns.get("item_id", "item_id")
            raise InputError(f"{file}, item {number}: no {wanted} (it has {', '.join(row)}); nothing was added")
        row["item_id"] = str(row["item_id"])
    return rows


def parse_time(text: str) -> int:
    """Return microseconds since 1970 UTC of an ISO 8601 moment; one without a zone is read as UTC.

    Raises:
        InputError: if it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is no moment; write it as 2026-11-23T14:00:00+00:00") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * MICROSECONDS)


def number(row: Row, name: str) -> float:
    """Return a number of a row, NaN where it has none.

    Raises:
        InputError: for what is no finite number.
    """
    value = row.get(name)
    if value is None:
        return math.nan
    found = number_or_nan(value)
    if not math.isfinite(found):
        raise InputError(f"item {row['item_id']}: {name} is {value!r}, but a number was expected; nothing was added")
    return found


def moment(row: Row, name: str, otherwise: int) -> int:
    """Return a moment of a row in microseconds, ``otherwise`` where it has none; raises InputError for what is none."""
    value = row.get(name)
    if value is None:
        return otherwise
    try:
        return parse_time(str(value))
    except InputError as error:
        raise InputError(f"item {row['item_id']}: {name}: {error}; nothing was added") from None


def _csv_rows(file: Path) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        for row in csv.DictReader(lines):
            if None in row or None in row.values():
                raise InputError(f"{file}: a row has more or fewer cells than the head line: {list(row.values())[:3]}")
            yield dict(row)


def _json_rows(file: Path) -> Iterator[Row]:
    with file.open(encoding="utf-8") as lines:
        for place, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{file}, line {place} is no JSON: {error}") from None
            if not isinstance(row, dict):
                raise InputError(f"{file}, line {place} is no JSON object, but {type(row).__name__}")
            yield row
