"""Ranked lists that somebody else's system made, as they come in a file: read, checked, not yet matched to requests.

Three forms: Parquet or CSV with columns, or a TREC run (``qid Q0 docid rank score tag``, parted by blanks).
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.features import number_or_nan
from configs.errors import InputError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = "item_id, then request_id or user_id (with timestamp where a user has several requests), then score or rank"


@dataclass(frozen=True)
class Given:
    """A row per listed item, in the order of the file; ids are strings."""

    item: pa.Array
    score: NDArray[np.float64]
    """``[rows]``, finite; higher is better."""
    request: pa.Array | None = None
    """Request ids, as in ``requests.csv``."""
    user: pa.Array | None = None
    time: NDArray[np.int64] | None = None
    """``[rows]``, microseconds; the moments of the users' requests."""
    query: pa.Array | None = None
    """The qid of a TREC run: request ids or user ids."""
    notes: list[str] = field(default_factory=list)
    """What a reader should know about how the file was read."""


def read_given(path: Path) -> Given:
    """Read a file of ranked lists.

    Raises:
        InputError: for a file that is missing or of another form, missing columns or ids, scores that are no numbers.
    """
    readers: dict[str, Callable[[Path], Given]] = {
        ".parquet": lambda file: _from_columns(file, pq.read_table(file)),
        ".csv": lambda file: _from_columns(file, _read_csv(file)),
        ".run": _from_run,
        ".trec": _from_run,
        ".txt": _from_run,
    }
    if not path.is_file():
        raise InputError(f"there is no file {path}; name one that holds ranked lists: {', '.join(readers)}")
    if path.suffix.lower() not in readers:
        raise InputError(
            f"{path} ends with {path.suffix or 'nothing'}, but .parquet, .csv, or .run, .trec or .txt for a TREC run "
            "were expected"
        )
    try:
        return readers[path.suffix.lower()](path)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as {path.suffix}: {str(error).splitlines()[0]}") from error


def _read_csv(path: Path) -> pa.Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        names = next(csv.reader(file), [])
    # Ids such as 0017 must stay words, so every column does.
    words = pa_csv.ConvertOptions(column_types={name: pa.string() for name in names}, strings_can_be_null=True)
    return pa_csv.read_csv(path, convert_options=words) if names else pa.table({})


def _from_columns(path: Path, table: pa.Table) -> Given:
    has = set(table.column_names)
    if "item_id" not in has or not has & {"request_id", "user_id"} or not has & {"score", "rank"}:
        raise InputError(f"{path} has the columns {', '.join(table.column_names) or '(none)'}; expected {_COLUMNS}")
    _refuse_empty(path, table.num_rows)
    notes = []
    if {"score", "rank"} <= has:
        notes.append("the file has both score and rank: ordered by score")
    value = _numbers(path, table, "score") if "score" in has else -_numbers(path, table, "rank")
    item = _ids(path, table, "item_id")
    if "request_id" in has:
        return Given(item, value, request=_ids(path, table, "request_id"), notes=notes)
    time = _moments(path, table["timestamp"]) if "timestamp" in has else None
    return Given(item, value, user=_ids(path, table, "user_id"), time=time, notes=notes)


def _from_run(path: Path) -> Given:
    rows = [
        (number, line.split())
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1)
        if line.strip()
    ]
    _refuse_empty(path, len(rows))
    wrong = [number for number, fields in rows if len(fields) != 6]
    if wrong:
        raise InputError(
            f"{path}: {len(wrong):,} of {len(rows):,} lines do not have the six fields of a TREC run, qid Q0 docid "
            f"rank score tag (first: lines {_first(wrong)})"
        )
    qid, _, item, _, score, _ = zip(*(fields for _, fields in rows), strict=True)
    table = pa.table({"qid": list(qid), "item_id": list(item), "score": list(score)})
    value = _numbers(path, table, "score")
    return Given(_ids(path, table, "item_id"), value, query=_ids(path, table, "qid"))


def _refuse_empty(path: Path, rows: int) -> None:
    if not rows:
        raise InputError(f"{path} holds no rows; expected one per listed item, with {_COLUMNS}")


def _ids(path: Path, table: pa.Table, name: str) -> pa.Array:
    """Return a column's ids as strings; whole numbers that a table tool made into fractions are whole again."""
    column = table[name].combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_floating(column.type):
        column = pc.cast(column, pa.int64())  # refuses fractions
    column = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    missing = np.flatnonzero(pc.equal(pc.fill_null(column, ""), "").to_numpy(zero_copy_only=False))
    if len(missing):
        raise InputError(
            f"{path}: {len(missing):,} of {len(column):,} rows have no {name} (first: rows {_first(missing + 1)}); "
            "leave such rows out"
        )
    return column


def _numbers(path: Path, table: pa.Table, name: str) -> NDArray[np.float64]:
    values = np.array([number_or_nan(value) for value in table[name].to_pylist()], dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        shown = [str(table[name][int(row)].as_py()) for row in wrong[:3]]
        raise InputError(
            f"{path}: {len(wrong):,} of {len(values):,} rows have a {name} that is no finite number (first: rows "
            f"{_first(wrong + 1)}, with {', '.join(shown)}), so their lists have no order; mend them or leave them out"
        )
    return values


def _moments(path: Path, column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return times in microseconds; a time must say its zone."""
    if pa.types.is_timestamp(column.type) and column.type.tz and not column.null_count:
        return np.asarray(pc.cast(pc.cast(column, pa.timestamp("us", column.type.tz)), pa.int64()))
    moments = [_moment(value) for value in column.to_pylist()]
    wrong = [row for row, moment in enumerate(moments, start=1) if moment is None]
    if wrong:
        raise InputError(
            f"{path}: {len(wrong):,} of {len(moments):,} rows have a timestamp that is no moment with a zone (first: "
            f"row {wrong[0]}, {column[wrong[0] - 1].as_py()}); write it as requests.csv does, "
            "2026-01-31T12:00:00.000000Z"
        )
    return np.array(moments, dtype=np.int64)


def _moment(value: object) -> int | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return (moment - _EPOCH) // timedelta(microseconds=1) if moment.tzinfo else None


def _first(places: NDArray[np.int64] | list[int]) -> str:
    return ", ".join(f"{place:,}" for place in list(places)[:3])
