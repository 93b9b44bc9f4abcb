"""Requests: the moments at which lists are asked for, and what turned out to be relevant.

A request sees only events strictly earlier than its moment. ``single`` asks once per user, at a window's start;
``rolling`` at each session's start and at each search.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import ibis
import ibis.expr.types as ir
import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, NO_INTENT, NO_ITEM, NO_QUERY
from commerce.histories import Histories
from commerce.records import Requests
from commerce.splits import WINDOWS, Moments, Split, ends_before


def single_moments(split: Split, users: int) -> Moments:
    """Return one moment per user and window, at the window's start."""
    size = users * len(WINDOWS)
    window = np.repeat(np.arange(len(WINDOWS), dtype=np.int8), users)
    return Moments(
        user=np.tile(np.arange(users, dtype=np.int32), len(WINDOWS)),
        time=np.array([split.starts[name] for name in WINDOWS], dtype=np.int64)[window],
        window=window,
        query=np.full(size, NO_QUERY, dtype=np.int32),
        session=np.full(size, -1, dtype=np.int64),
    )


def rolling_moments(events: ir.Table, split: Split) -> Moments:
    """Return each session's start and each search from the ranker window on.

    Args:
        events: as ``session_moments`` reads them.
        split: a split by time.
    """
    found = session_moments(events, since=split.starts[WINDOWS[0]])
    starts = np.array([split.starts[name] for name in WINDOWS], dtype=np.int64)
    return replace(found, window=(np.searchsorted(starts, found.time, side="right") - 1).astype(np.int8))


def session_moments(events: ir.Table, *, since: int | None = None, until: int | None = None) -> Moments:
    """Return each session's start and each search, by user and time, as moments of the towers' window (-1).

    Args:
        events: all events: user, session, time, row, action (code), query (code or ``NO_QUERY``).
        since: first microsecond; None from the log's start.
        until: microsecond before which they lie; None to the log's end.
    """
    in_order = ibis.window(group_by="session", order_by=["time", "row"])
    numbered = events.mutate(number=ibis.row_number().over(in_order))
    search = numbered.action == ACTION_CODES["search"]
    asked = numbered.filter((numbered.number == 0) | search)
    asked = asked if since is None else asked.filter(asked.time >= since)
    asked = asked if until is None else asked.filter(asked.time < until)
    asked = asked.mutate(query=ibis.ifelse(asked.action == ACTION_CODES["search"], asked["query"], NO_QUERY))
    # Of several searches at one time, one group, the last in file order is the one asked.
    within = ibis.window(
        group_by=["session", "time"], order_by=[ibis.desc(asked["query"] != NO_QUERY), ibis.desc("row")]
    )
    first = asked.mutate(place=ibis.row_number().over(within)).filter(lambda t: t.place == 0)
    columns = first.select("user", "time", "query", "session").order_by("user", "time", "session").to_pyarrow()
    return Moments(
        user=columns["user"].to_numpy().astype(np.int32),
        time=columns["time"].to_numpy(),
        window=np.full(columns.num_rows, -1, dtype=np.int8),
        query=columns["query"].to_numpy().astype(np.int32),
        session=columns["session"].to_numpy(),
    )


def lay_requests(
    histories: Histories,
    split: Split,
    moments: Moments,
    gains: Mapping[str, Mapping[str, float]],
    halves: NDArray[np.bool_],
    *,
    rolling: bool,
) -> Requests:
    """Find what was relevant at each moment; moments without anything relevant are dropped.

    A target event belongs to the last moment before it: of its user and window, or, ``rolling``, of its session and
    window. A rolling request counts events strictly after its moment and not later than the next request; the other
    kinds count from the moment on, which they do not see either.

    Args:
        histories: all events.
        split: where the windows begin.
        moments: any order.
        gains: window -> action -> gain of a relevant item; the largest counts where several actions met one item.
        halves: ``[users]``: whether a validation user belongs to ``fit`` (else ``gate``).
        rolling: whether moments belong to sessions.

    Returns: requests sorted by (window, user, time); relevant items in order of time.
    """
    order = np.lexsort((moments.time, moments.user, moments.window))
    user, time, window = moments.user[order], moments.time[order], moments.window[order]
    event_window = split.window_of(histories)
    gain = _gain_of_events(histories, event_window, gains)
    position = np.flatnonzero((gain > 0) & (histories.item != NO_ITEM))
    owner = np.searchsorted(histories.offsets, position, side="right") - 1
    moment_key = moments.session[order] if rolling else user.astype(np.int64)
    event_key = histories.session[position] if rolling else owner
    # The window is part of the key: a request never reaches over the end of its window.
    request = last_before(
        _joined_key(moment_key, window),
        time,
        _joined_key(event_key, event_window[position]),
        histories.time[position],
        inclusive=not rolling,
    )
    kept = request >= 0
    met, where = request[kept], position[kept]
    pairs, first, inverse = np.unique(
        np.stack([met, histories.item[where].astype(np.int64)], axis=1), axis=0, return_index=True, return_inverse=True
    )
    best = np.zeros(len(pairs), dtype=np.float32)
    np.maximum.at(best, inverse, gain[where])
    in_time = np.lexsort((first, pairs[:, 0]))
    pairs, best = pairs[in_time], best[in_time]
    asked, counts = np.unique(pairs[:, 0], return_counts=True)
    user, time, window = user[asked], time[asked], window[asked]
    validation = window == WINDOWS.index("validation")
    return Requests(
        request_id=np.arange(len(asked)),
        window=np.asarray(WINDOWS)[window],
        half=np.where(validation, np.where(halves[user], "fit", "gate"), ""),
        user=user,
        time=time,
        history_end=ends_before(histories, user, time),
        query=moments.query[order][asked],
        session=moments.session[order][asked],
        intent=np.full(len(asked), NO_INTENT, dtype=np.int8),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        items=pairs[:, 1].astype(np.int32),
        gains=best,
    )


def only_available(
    requests: Requests, available_from: NDArray[np.int64], available_until: NDArray[np.int64]
) -> tuple[Requests, int]:
    """Leave out relevant items that could not be shown at their request's moment, and requests left with none.

    Args:
        requests: those of all windows.
        available_from: ``[items]``, microseconds.
        available_until: ``[items]``, microseconds, itself excluded.

    Returns: the requests, numbered anew, and how many relevant items were left out.
    """
    rows = np.repeat(np.arange(len(requests)), np.diff(requests.offsets))
    moment = requests.time[rows]
    shown = (available_from[requests.items] <= moment) & (moment < available_until[requests.items])
    counts = np.bincount(rows[shown], minlength=len(requests))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    left = replace(requests, items=requests.items[shown], gains=requests.gains[shown], offsets=offsets)
    left = left.where(counts > 0)
    return replace(left, request_id=np.arange(len(left))), int(np.count_nonzero(~shown))


def last_before(
    moment_key: NDArray[np.int64],
    moment_time: NDArray[np.int64],
    event_key: NDArray[np.int64],
    event_time: NDArray[np.int64],
    *,
    inclusive: bool,
) -> NDArray[np.int64]:
    """Return, for each event, the row of the last moment of its key before it (``inclusive``: or at it), else -1."""
    moments, events = len(moment_key), len(event_key)
    key = np.concatenate([moment_key, event_key])
    time = np.concatenate([moment_time, event_time])
    is_event = np.repeat([0, 1], [moments, events])
    order = np.lexsort((is_event if inclusive else 1 - is_event, time, key))
    place = np.where(order < moments, np.arange(len(order)), -1)
    latest = np.maximum.accumulate(place)
    found = np.where(latest >= 0, order[latest], -1)
    same = (found >= 0) & (key[found] == key[order])
    row = np.full(moments + events, -1, dtype=np.int64)
    row[order] = np.where(same, found, -1)
    return row[moments:]


def _joined_key(key: NDArray[np.integer], window: NDArray[np.int8]) -> NDArray[np.int64]:
    return key.astype(np.int64) * (len(WINDOWS) + 1) + window + 1


def _gain_of_events(
    histories: Histories, window: NDArray[np.int8], gains: Mapping[str, Mapping[str, float]]
) -> NDArray[np.float32]:
    """Return the gain of each event in its window, float32 ``[events]``; 0 in the towers' window."""
    table = np.zeros((len(WINDOWS) + 1, len(ACTION_CODES)), dtype=np.float32)
    for place, name in enumerate(WINDOWS):
        for action, gain in gains[name].items():
            table[place, ACTION_CODES[action]] = gain
    return table[window, histories.action]  # the towers' window, -1, is the last row, all zero
