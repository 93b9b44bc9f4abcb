"""Lists: the retriever's own candidates of each request, and the ones a ranker is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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

_ROWS = 1_000_000
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

    def __len__(self) -> int:
        return len(self.items)

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
        return Candidates(
            self.items[row, :n], self.scores[row, :n], self.source_rank[row, :n], self.source_score[row, :n]
        )

    def of(self, rows: NDArray[np.integer]) -> Lists:
        """Return the lists of some requests."""
        return Lists(self.items[rows], self.scores[rows], self.source_rank[rows], self.source_score[rows])

    def first(self, depth: int) -> Lists:
        """Return the first ``depth`` candidates of each list."""
        cut = np.s_[:, :depth]
        return Lists(self.items[cut], self.scores[cut], self.source_rank[cut], self.source_score[cut])


def read_lists(path: Path, request_id: NDArray[np.int64], sources: Sequence[str], depth: int) -> Lists:
    """Read the first ``depth`` candidates of some requests, with what each source said of them.

    Args:
        path: a ``CANDIDATES`` file.
        request_id: ``[requests]``, in the order wanted; a request without candidates gets an empty list.
        sources: names, in the order of the last axis.
        depth: candidates per request.
    """
    check_record("candidates", path)
    file = pq.ParquetFile(path)
    shape = (len(request_id), depth)
    lists = Lists(
        np.full(shape, NO_ITEM, dtype=np.int32),
        np.zeros(shape, dtype=np.float32),
        np.full((*shape, len(sources)), -1, dtype=np.int32),
        np.zeros((*shape, len(sources)), dtype=np.float32),
    )
    names = pa.array([BLEND, *sources])
    # Twice through the file: where an item stands in the blend decides where its sources' words go.
    for row, source, item, rank, score in _blocks(file, request_id, names):
        at = (source == 0) & (rank < depth)
        lists.items[row[at], rank[at]] = item[at]
        lists.scores[row[at], rank[at]] = score[at]
    places = _Places(lists.items)
    for row, source, item, rank, score in _blocks(file, request_id, names):
        at = np.flatnonzero(source > 0)
        place = places.find(row[at], item[at])
        at, place = at[place >= 0], place[place >= 0]
        lists.source_rank[row[at], place, source[at] - 1] = rank[at]
        lists.source_score[row[at], place, source[at] - 1] = score[at]
    return lists


def _blocks(file: pq.ParquetFile, request_id: NDArray[np.int64], names: pa.Array):  # type: ignore[no-untyped-def]
    """Yield (row of the request, source code, item, rank, score) of the rows that are asked for."""
    order = np.argsort(request_id)
    ordered = request_id[order]
    for batch in file.iter_batches(batch_size=_ROWS):
        ids = batch.column("request_id").to_numpy()
        place = np.minimum(np.searchsorted(ordered, ids), max(len(ordered) - 1, 0))
        source = pc.fill_null(pc.index_in(batch.column("source"), value_set=names), -1).to_numpy(zero_copy_only=False)
        known = np.flatnonzero((source >= 0) & (ordered[place] == ids)) if len(ordered) else np.empty(0, np.int64)
        columns = (batch.column(name).to_numpy()[known] for name in ("item", "rank", "score"))
        yield order[place[known]], source[known], *columns


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


@dataclass(frozen=True)
class TrainingLists:
    """Lists with at least one relevant and one other candidate, and what became of the rest."""

    rows: NDArray[np.int64]
    """Which of the requests given these are, ``[lists]``."""
    lists: Lists
    gains: NDArray[np.float32]
    """``[lists, length]``, 0 for what is not relevant."""
    counts: dict[str, int]
    """Requests by what became of them, for a person."""


def gains_of(items: NDArray[np.int32], relevant: Relevant) -> NDArray[np.float32]:
    """Return the gain of each candidate, ``[requests, length]``, 0 for what is not relevant."""
    gains = np.zeros(items.shape, dtype=np.float32)
    rows = relevant.rows
    place = _Places(items).find(rows, relevant.items)
    gains[rows[place >= 0], place[place >= 0]] = relevant.gains[place >= 0]
    return gains


def build_training_lists(lists: Lists, relevant: Relevant, *, length: int, most: int, seed: int) -> TrainingLists:
    """Choose what to train on, by these rules.

    A request none of whose relevant items is in its list teaches nothing about the order and is left out, as is one
    whose list holds relevant items only. Of longer lists, the relevant candidates with the largest gains stay (half of
    ``length`` at most) and the rest is filled with other candidates drawn at random; shorter lists stay as they are.
    Above ``most`` requests, a random share is kept.

    Args:
        lists: the candidates to choose from.
        relevant: of the same requests.
        length: candidates in a training list, at most.
        most: lists, at most.
        seed: of the draws.
    """
    gains = gains_of(lists.items, relevant)
    positives, sizes = (gains > 0).sum(axis=1), lists.counts
    usable = np.flatnonzero((positives > 0) & (positives < sizes))
    draw = np.random.default_rng([seed, 0x11575])
    rows = np.sort(draw.permutation(usable)[:most])
    columns = _choose(gains[rows], lists.kept[rows], length, draw)
    chosen = lists.of(rows)
    at = (np.arange(len(rows))[:, None], columns)
    picked = Lists(*(getattr(chosen, name)[at] for name in ("items", "scores", "source_rank", "source_score")))
    counts = {
        "requests": len(lists),
        "trained on": len(rows),
        "without a relevant candidate": int((positives == 0).sum()),
        "with relevant candidates only": int(((positives > 0) & (positives == sizes)).sum()),
        "left out above the most": len(usable) - len(rows),
        "shorter than the list length": int((picked.counts < length).sum()),
    }
    return TrainingLists(rows, picked, gains[rows][at], counts)


def _choose(
    gains: NDArray[np.float32], kept: NDArray[np.bool_], length: int, draw: np.random.Generator
) -> NDArray[np.int64]:
    """Return the columns chosen of each list, ``[lists, min(length, width)]``, in blended order, padding last."""
    width = gains.shape[1]
    luck = draw.random(gains.shape)
    best = np.argsort(np.argsort(-(gains + luck * 1e-6), axis=1), axis=1)
    surely = (gains > 0) & (best < max(1, length // 2))
    # Sort by: chosen relevant ones, then the others at random, then surplus relevant ones, then padding.
    group = np.select([~kept, surely, gains == 0], [3.0, 0.0, 1.0], 2.0)
    columns = np.argsort(group + luck, axis=1)[:, : min(length, width)]
    last = np.where(np.take_along_axis(group, columns, axis=1) == 3.0, width, 0)
    order = np.argsort(columns + last, axis=1)
    chosen: NDArray[np.int64] = np.take_along_axis(columns, order, axis=1)
    return chosen
