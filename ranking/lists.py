"""Lists: the retriever's own candidates of each request, read whole or streamed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.candidates import BLEND
from commerce.columns import NO_ITEM
from commerce.metrics import Relevant
from commerce.records import check_record
from commerce.state import Candidates
from configs.errors import InputError

_ROWS = 250_000
"""Rows read together: bounds memory, changes nothing."""


@dataclass(frozen=True)
class Lists:
    """The first candidates of each request in blended order; arrays are ``[requests, length]`` unless said."""

    items: NDArray[np.int32]
    """``NO_ITEM`` past a list's end."""
    scores: NDArray[np.float32]
    """Of the blend; 0 past a list's end."""
    source_rank: NDArray[np.int32]
    """``[requests, length, sources]``, from 0; -1 where the source did not find the item."""
    source_score: NDArray[np.float32]
    """``[requests, length, sources]``; 0 where the source did not find the item."""
    place: NDArray[np.int32]
    """In the whole list, from 0, also where some of its candidates were drawn."""

    @classmethod
    def whole(
        cls,
        items: NDArray[np.int32],
        scores: NDArray[np.float32],
        source_rank: NDArray[np.int32],
        source_score: NDArray[np.float32],
    ) -> Lists:
        """Return lists of which nothing was left out."""
        place = np.broadcast_to(np.arange(items.shape[1], dtype=np.int32), items.shape)
        return cls(items, scores, source_rank, source_score, np.ascontiguousarray(place))

    def __len__(self) -> int:
        return len(self.items)

    @property
    def columns(self) -> tuple[NDArray[Any], ...]:
        """All of them, in the order of ``Candidates``."""
        return self.items, self.scores, self.source_rank, self.source_score, self.place

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Whether there is a candidate, ``[requests, length]``."""
        return np.asarray(self.items != NO_ITEM)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Candidates per request, ``[requests]``."""
        return np.asarray(self.kept.sum(axis=1), dtype=np.int64)

    def candidates(self, row: int) -> Candidates:
        """Return one request's candidates, without padding."""
        n = int(self.counts[row])
        return Candidates(*(values[row, :n] for values in self.columns))

    def of(self, rows: NDArray[np.integer]) -> Lists:
        """Return the lists of some requests."""
        return self.at(rows)

    def at(self, index: Any) -> Lists:
        """Return the part of all columns that ``index`` picks, as NumPy reads it."""
        return Lists(*(values[index] for values in self.columns))

    def first(self, depth: int) -> Lists:
        """Return the first ``depth`` candidates of each list."""
        return self.at(np.s_[:, :depth])


def read_lists(path: Path, request_id: NDArray[np.int64], sources: Sequence[str], depth: int) -> Lists:
    """Read the first ``depth`` candidates of some requests, with what each source said of them.

    Args:
        path: a ``CANDIDATES`` file.
        request_id: ``[requests]``, in the order wanted; a request without candidates gets an empty list.
        sources: names, in the order of the last axis.
        depth: candidates per request.

    Raises:
        ValueError: if the file is another record.
        InputError: if its requests do not ascend.
    """
    order = np.argsort(request_id)
    lists = _empty(len(request_id), depth, len(sources))
    for rows, found in stream_lists(path, request_id[order], sources, depth):
        for values, told in zip(lists.columns, found.columns, strict=True):
            values[order[rows]] = told
    return lists


def stream_lists(
    path: Path, request_id: NDArray[np.int64], sources: Sequence[str], depth: int
) -> Iterator[tuple[NDArray[np.int64], Lists]]:
    """Yield the lists of some requests in blocks, in the order of the file; memory does not grow with their number.

    Args:
        path: a ``CANDIDATES`` file.
        request_id: ``[requests]``, ascending.
        sources: names, in the order of the last axis.
        depth: candidates per request.

    Yields: rows of ``request_id``, ascending, and their lists. A request without candidates is in no block.

    Raises:
        ValueError: if the file is another record, or ``request_id`` does not ascend.
        InputError: if the file's requests do not ascend.
    """
    check_record("candidates", path)
    if (np.diff(request_id) <= 0).any():
        raise ValueError("lists are streamed in the order of the file; ask for requests by ascending id")
    names = pa.array([BLEND, *sources])
    for entries in _whole_requests(path, request_id, names):
        rows, row = np.unique(entries.row, return_inverse=True)
        yield rows, _lay(entries, row, len(rows), depth, len(sources))


class _Entries(NamedTuple):
    """Rows of the file, ``[entries]`` each."""

    row: NDArray[np.int64]
    """Of the request."""
    source: NDArray[np.int64]
    """0 for the blend, then as ``sources`` has them."""
    item: NDArray[np.int32]
    rank: NDArray[np.int32]
    score: NDArray[np.float32]

    def of(self, part: slice) -> _Entries:
        return _Entries(self.row[part], self.source[part], self.item[part], self.rank[part], self.score[part])

    def then(self, other: _Entries) -> _Entries:
        return _Entries(
            np.concatenate([self.row, other.row]),
            np.concatenate([self.source, other.source]),
            np.concatenate([self.item, other.item]),
            np.concatenate([self.rank, other.rank]),
            np.concatenate([self.score, other.score]),
        )


def _whole_requests(path: Path, request_id: NDArray[np.int64], names: pa.Array) -> Iterator[_Entries]:
    """Yield the entries that are asked for; all of a request come together."""
    held: _Entries | None = None
    for entries in _entries(path, request_id, names):
        if held is not None:
            entries = held.then(entries)
        if not len(entries.row):
            continue
        # The last request may go on in what is read next.
        last = int(np.searchsorted(entries.row, entries.row[-1]))
        if last:
            yield entries.of(slice(0, last))
        held = entries.of(slice(last, None))
    if held is not None:
        yield held


def _entries(path: Path, request_id: NDArray[np.int64], names: pa.Array) -> Iterator[_Entries]:
    """Yield the entries that are asked for as the file has them, some at a time."""
    file, before = pq.ParquetFile(path), -1
    for batch in file.iter_batches(batch_size=_ROWS, row_groups=_groups(file, request_id)):
        ids = batch.column("request_id").to_numpy()
        fall = np.flatnonzero(np.diff(ids, prepend=before) < 0)[:1]
        if len(fall):
            former = ids[fall[0] - 1] if fall[0] else before
            raise InputError(
                f"{path}: request {ids[fall[0]]} stands after request {former}, but candidates lie by ascending "
                "request, each request's together; run `mercato retrieve CONFIG` again"
            )
        before = int(ids[-1])
        place = np.minimum(np.searchsorted(request_id, ids), len(request_id) - 1)
        source = pc.fill_null(pc.index_in(batch.column("source"), value_set=names), -1).to_numpy(zero_copy_only=False)
        known = np.flatnonzero((source >= 0) & (request_id[place] == ids))
        columns = (batch.column(name).to_numpy()[known] for name in ("item", "rank", "score"))
        yield _Entries(place[known], source[known], *columns)


def _groups(file: pq.ParquetFile, request_id: NDArray[np.int64]) -> list[int]:
    """Return the row groups in which requests that are asked for may be, by the bounds that the file notes."""
    groups, column = [], file.schema_arrow.get_field_index("request_id")
    for group in range(file.metadata.num_row_groups):
        bounds = file.metadata.row_group(group).column(column).statistics
        if bounds is None or not bounds.has_min_max:
            first, last = 0, len(request_id)
        else:
            first, last = np.searchsorted(request_id, [bounds.min, bounds.max + 1])
        if last > first:
            groups.append(group)
    return groups


def _lay(entries: _Entries, row: NDArray[np.int64], requests: int, depth: int, sources: int) -> Lists:
    """Return the lists of a block; ``row`` ``[entries]`` counts its requests from 0."""
    lists = _empty(requests, depth, sources)
    at = (entries.source == 0) & (entries.rank < depth)
    lists.items[row[at], entries.rank[at]] = entries.item[at]
    lists.scores[row[at], entries.rank[at]] = entries.score[at]
    at = np.flatnonzero(entries.source > 0)
    # Where an item stands in the blend decides where its sources' words go.
    place = _Places(lists.items).find(row[at], entries.item[at])
    at, place = at[place >= 0], place[place >= 0]
    lists.source_rank[row[at], place, entries.source[at] - 1] = entries.rank[at]
    lists.source_score[row[at], place, entries.source[at] - 1] = entries.score[at]
    return lists


def _empty(requests: int, depth: int, sources: int) -> Lists:
    return Lists.whole(
        np.full((requests, depth), NO_ITEM, dtype=np.int32),
        np.zeros((requests, depth), dtype=np.float32),
        np.full((requests, depth, sources), -1, dtype=np.int32),
        np.zeros((requests, depth, sources), dtype=np.float32),
    )


class _Places:
    """Looks up where (row, item) stands in padded lists."""

    def __init__(self, items: NDArray[np.int32]) -> None:
        self._length = items.shape[1]
        self._width = int(items.max(initial=0)) + 1
        keys = (np.arange(len(items), dtype=np.int64)[:, None] * self._width + items)[items != NO_ITEM]
        self._cells = np.flatnonzero(items.ravel() != NO_ITEM)
        order = np.argsort(keys)
        self._keys, self._cells = keys[order], self._cells[order]

    def find(self, rows: NDArray[np.int64], items: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the column of each (row, item), -1 where it is not there."""
        if not len(self._keys):
            return np.full(len(rows), -1)
        keys = np.where(items < self._width, rows * self._width + items, -1)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        found: NDArray[np.int64] = np.where(self._keys[at] == keys, self._cells[at] % self._length, -1)
        return found


def gains_of(items: NDArray[np.int32], relevant: Relevant) -> NDArray[np.float32]:
    """Return the gain of each candidate, ``[requests, length]``, 0 for what is not relevant."""
    gains = np.zeros(items.shape, dtype=np.float32)
    rows = relevant.rows
    place = _Places(items).find(rows, relevant.items)
    gains[rows[place >= 0], place[place >= 0]] = relevant.gains[place >= 0]
    return gains
