"""Somebody else's ranked lists, brought onto the requests that a run measures, by rules that are told.

A list counts as it would have been shown: best score first, an item at its first place only, nothing that the
protocol keeps from every other system. Whatever is left out is counted and said; silence would look like a bad system.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from commerce.given_rankings import Given
from configs.errors import InputError
from pipeline.systems import Lists, Terms
from retrieval.sources import empty

MOST_UNKNOWN = 0.2
"""Share of lists, or of listed items, that may be unknown to the shop; above, the file is of another shop or export."""


@dataclass(frozen=True)
class _Entries:
    """Items in lists: ``[entries]`` each."""

    row: NDArray[np.int64]
    """Of the request."""
    item: NDArray[np.int64]
    score: NDArray[np.float64]

    def where(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> _Entries:
        return _Entries(self.row[keep], self.item[keep], self.score[keep])


def lay_lists(
    given: Given, terms: Terms, user_ids: list[str], item_ids: list[str], known_requests: NDArray[np.int64]
) -> tuple[Lists, list[str]]:
    """Return the lists of every request, and what was done to them, a sentence each.

    Args:
        given: as read.
        terms: the requests, and what may be listed.
        user_ids: by user code.
        item_ids: by item code.
        known_requests: ids of all requests of the shop, measured or not.

    Raises:
        InputError: if no list is of a measured request, too many are of unknown ones, too many items are unknown, or it
            is not clear which request a list is for.
    """
    notes = list(given.notes)
    row = _rows(given, terms, pa.array(user_ids), known_requests, notes)
    item = _items(given, pa.array(item_ids), row >= 0, notes)
    kept = (row >= 0) & (item >= 0)
    entries = _Entries(row[kept], item[kept], given.score[kept])
    entries = _in_order(entries, notes)
    entries = _once(entries, notes)
    entries = _allowed(entries, terms, notes)
    lists = _cut(entries, terms)
    _tell_lengths(lists[0], terms.depth, notes)
    return lists, notes


def _rows(
    given: Given, terms: Terms, user_ids: pa.Array, known_requests: NDArray[np.int64], notes: list[str]
) -> NDArray[np.int64]:
    """Return the measured request of each row of the file, -1 for none."""
    requests, users = given.request, given.user
    if given.query is not None:
        if _qids_are_requests(given.query, terms, user_ids):
            requests = given.query
        else:
            users = given.query
        notes.append(f"qids are read as {'request ids' if requests is not None else 'user ids'}")
    if requests is not None:
        measured = pa.array(terms.requests.request_id.astype(str))
        found = _place(requests, measured)
        known = _place(requests, pa.array(known_requests.astype(str))) >= 0
        return _told(found, known, requests, "request_id", notes)
    assert users is not None
    user = _place(users, user_ids)
    if given.time is not None:
        asked = _keys(terms.requests.user, terms.requests.time)
        return _told(_place_of(_keys(user, given.time), asked), user >= 0, users, "user_id", notes)
    several = np.flatnonzero(np.bincount(terms.requests.user, minlength=len(user_ids)) > 1)
    unclear = np.intersect1d(several, user)
    if len(unclear):
        shown = ", ".join(str(user_ids[int(code)]) for code in unclear[:3])
        raise InputError(
            f"{len(unclear):,} users of the file have several requests (first: {shown}), so user_id does not say which "
            "list is for which; give request_id or timestamp as in requests.csv of the run's evaluate folder"
        )
    found = _place_of(user, terms.requests.user.astype(np.int64))
    return _told(found, user >= 0, users, "user_id", notes)


def _qids_are_requests(qids: pa.Array, terms: Terms, user_ids: pa.Array) -> bool:
    distinct = pc.unique(qids)
    asked = pc.take(user_ids, pa.array(np.unique(terms.requests.user)))
    as_requests = int((_place(distinct, pa.array(terms.requests.request_id.astype(str))) >= 0).sum())
    as_users = int((_place(distinct, asked) >= 0).sum())
    if as_requests and as_requests == as_users:
        raise InputError(
            f"{as_requests:,} of {len(distinct):,} qids are request ids, and as many are user ids, so it is not clear "
            "which are meant; give the lists as CSV with a column request_id or user_id"
        )
    return as_requests > as_users


def _told(
    found: NDArray[np.int64], known: NDArray[np.bool_], ids: pa.Array, name: str, notes: list[str]
) -> NDArray[np.int64]:
    """Say which lists are of no measured request; refuse where hardly any can be meant."""
    whole = pc.count_distinct(ids).as_py()
    unknown = pc.unique(ids.filter(pa.array(~known)))
    elsewhere = pc.unique(ids.filter(pa.array(known & (found < 0))))
    shown = ", ".join(str(value) for value in unknown[:3])
    if len(unknown) > MOST_UNKNOWN * whole or not (found >= 0).any():
        example = shown or ", ".join(str(value) for value in elsewhere[:3])
        raise InputError(
            f"{len(unknown):,} of {whole:,} different values of {name} are unknown to the shop and {len(elsewhere):,} "
            f"have no request that is measured (first: {example}); at most {MOST_UNKNOWN:.0%} may be unknown and some "
            "must be measured: rank for the rows of requests.csv in the run's evaluate folder"
        )
    if len(unknown):
        notes.append(f"left out: {len(unknown):,} of {whole:,} values of {name}, unknown to the shop (first: {shown})")
    if len(elsewhere):
        notes.append(f"left out: {len(elsewhere):,} of {whole:,} values of {name} with rows for no measured request")
    return found


def _items(given: Given, item_ids: pa.Array, ours: NDArray[np.bool_], notes: list[str]) -> NDArray[np.int64]:
    """Return each row's item code, -1 for an unknown one."""
    item = _place(given.item, item_ids)
    unknown, whole = int((ours & (item < 0)).sum()), int(ours.sum())
    if not unknown:
        return item
    shown = ", ".join(str(value) for value in pc.unique(given.item.filter(pa.array(ours & (item < 0))))[:3])
    if unknown > MOST_UNKNOWN * whole:
        raise InputError(
            f"{unknown:,} of {whole:,} listed items are unknown to the shop (first: {shown}), and at most "
            f"{MOST_UNKNOWN:.0%} may be; the items table's item_id is expected"
        )
    notes.append(f"left out: {unknown:,} of {whole:,} listed items, unknown to the shop (first: {shown})")
    return item


def _in_order(entries: _Entries, notes: list[str]) -> _Entries:
    """Sort by (request, score, item code) and say where the file had another order, or none."""
    by_request = entries.where(np.argsort(entries.row, kind="stable"))
    same = np.diff(by_request.row) == 0
    rising = np.unique(by_request.row[1:][same & (np.diff(by_request.score) > 0)])
    if len(rising):
        notes.append(f"sorted: the scores of {len(rising):,} lists were not in falling order; the best comes first")
    ordered = entries.where(np.lexsort((entries.item, -entries.score, entries.row)))
    again = (np.diff(ordered.row) == 0) & (np.diff(ordered.item) == 0)
    tied = (np.diff(ordered.row) == 0) & (np.diff(ordered.score) == 0) & ~again
    if tied.any():
        notes.append(f"ties: {int(tied.sum()):,} items have the score of the one before; they go by item code")
    return ordered


def _once(entries: _Entries, notes: list[str]) -> _Entries:
    """Keep an item's first place in a list."""
    by_item = np.lexsort((np.arange(len(entries.row)), entries.item, entries.row))
    row, item = entries.row[by_item], entries.item[by_item]
    again = np.zeros(len(row), dtype=bool)
    again[by_item[1:]] = (np.diff(row) == 0) & (np.diff(item) == 0)
    if again.any():
        notes.append(f"left out: {int(again.sum()):,} items that their list held already; the first place counts")
    return entries.where(~again)


def _allowed(entries: _Entries, terms: Terms, notes: list[str]) -> _Entries:
    """Take out what no system may list: items not available at the moment, and those had where repeats do not count."""
    moment = terms.requests.time[entries.row]
    away = (terms.available_from[entries.item] > moment) | (terms.available_until[entries.item] <= moment)
    had = np.zeros(len(away), dtype=bool)
    for rows in terms.blocks():
        span = slice(*np.searchsorted(entries.row, [rows.start, rows.stop]))
        had[span] = terms.had(rows, entries.row[span] - rows.start, entries.item[span])
    if away.any():
        notes.append(f"left out: {int(away.sum()):,} items that were not available at their request's moment")
    if (had & ~away).any():
        notes.append(f"left out: {int((had & ~away).sum()):,} items that their user had before (filter_seen is on)")
    return entries.where(~(away | had))


def _cut(entries: _Entries, terms: Terms) -> Lists:
    listed, scored = empty(len(terms.requests), terms.depth)
    starts = np.searchsorted(entries.row, np.arange(len(terms.requests)))
    place = np.arange(len(entries.row)) - starts[entries.row]
    inside = place < terms.depth
    listed[entries.row[inside], place[inside]] = entries.item[inside]
    scored[entries.row[inside], place[inside]] = entries.score[inside]
    return listed, scored


def _tell_lengths(listed: NDArray[np.int32], depth: int, notes: list[str]) -> None:
    lengths = (listed != NO_ITEM).sum(axis=1)
    short = int(((lengths < depth) & (lengths > 0)).sum())
    if short:
        notes.append(
            f"short: {short:,} of {len(listed):,} lists have fewer than {depth:,} items (the shortest "
            f"{lengths[lengths > 0].min():,}); places that are not there find nothing"
        )
    silent = int((lengths == 0).sum())
    if silent:
        notes.append(
            f"NO LIST for {silent:,} of {len(listed):,} requests ({silent / len(listed):.1%}): each of them scores 0"
        )


def _place(values: pa.Array, among: pa.Array) -> NDArray[np.int64]:
    """Return where each value stands in ``among``, -1 for nowhere."""
    found = pc.fill_null(pc.index_in(values, value_set=among), -1)
    return np.asarray(found, dtype=np.int64)


def _place_of(values: NDArray[np.generic], among: NDArray[np.generic]) -> NDArray[np.int64]:
    """Return where each value first stands in ``among``, -1 for nowhere."""
    distinct, first = np.unique(among, return_index=True)
    place = np.minimum(np.searchsorted(distinct, values), len(distinct) - 1)
    return np.where(distinct[place] == values, first[place], -1).astype(np.int64)


def _keys(users: NDArray[np.integer], times: NDArray[np.int64]) -> NDArray[np.void]:
    keys = np.zeros(len(users), dtype=[("user", np.int64), ("time", np.int64)])
    keys["user"], keys["time"] = users, times
    return keys
