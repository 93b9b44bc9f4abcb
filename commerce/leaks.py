"""The leak check: nothing that is trained, counted or shown may know what it is to predict. Always on.

It works from the finished arrays alone, by another way than the code that made them. What it finds it tells in the
shop's own words (``commerce.leak_examples``), so that the rows can be looked up in the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from commerce.histories import Histories
from commerce.leak_examples import TOWERS, LeakError, Told, stop
from commerce.records import Requests
from commerce.splits import WINDOWS, Split

__all__ = ["LeakError", "check_leaks"]


def check_leaks(
    histories: Histories,
    split: Split,
    requests: Requests,
    intents: NDArray[np.int8],
    availability: tuple[NDArray[np.int64], NDArray[np.int64]],
    user_ids: Sequence[str],
    item_ids: Sequence[str],
) -> None:
    """Stop where an event lies on both sides of a request or a window.

    Args:
        histories: all events, sorted by (user, time).
        split: where windows cut the histories.
        requests: those of all windows.
        intents: ``[events]``, label of each position or -1.
        availability: first microsecond and end, ``[items]`` each.
        user_ids: the shop's own, by user code.
        item_ids: the shop's own, by item code.

    Raises:
        LeakError: with the first offending rows as the shop knows them, and how many there are.
    """
    told = Told(histories, split, user_ids, item_ids)
    _check_order(told)
    _check_cuts(told)
    _check_visible(told, requests)
    _check_relevant(told, requests)
    _check_available(told, requests, availability)
    _check_labels(told, intents)
    _check_request_labels(told, requests)


def _check_order(told: Told) -> None:
    backwards = np.flatnonzero(np.diff(told.histories.time) < 0) + 1
    backwards = np.setdiff1d(backwards, told.histories.offsets)
    stop(
        "events are earlier than the one before them in their user's history",
        backwards,
        lambda at: told.event(at, told.due(at), told.laid(at)),
    )


def _check_cuts(told: Told) -> None:
    histories, split = told.histories, told.split
    bounds = [histories.offsets[:-1], *(split.cuts[name] for name in WINDOWS), histories.offsets[1:]]
    for (earlier, later), sides in zip(pairwise(bounds), _SIDES, strict=True):
        _check_bounds(told, earlier, later, *sides)
    for name, former in zip(WINDOWS, (TOWERS, *WINDOWS), strict=False):
        _check_cut(told, name, former)


_SIDES = (
    ("previous user's", "ranker"),
    ("validation", TOWERS),
    ("test", "ranker"),
    ("next user's", "validation"),
)
"""For each two bounds in a row: whose the first event is that lies between them where they are in the wrong order, and
in which window it then counts."""


def _check_bounds(told: Told, earlier: NDArray[np.int64], later: NDArray[np.int64], belongs: str, broken: str) -> None:
    stop("users have windows out of order", later[earlier > later], lambda at: told.event(at, belongs, broken))


def _check_cut(told: Told, name: str, former: str) -> None:
    histories, cut = told.histories, told.split.cuts[name]
    inside = np.flatnonzero((cut > histories.offsets[:-1]) & (cut < histories.offsets[1:]))
    same = histories.time[cut[inside] - 1] == histories.time[cut[inside]]
    stop(
        f"users have a group of equal-time events on both sides of the {name} window",
        cut[inside[same]] - 1,
        lambda at: told.event(at, name, former),
    )
    if name in told.split.starts:
        before = np.arange(len(histories.time)) < np.repeat(cut, np.diff(histories.offsets))
        stop(
            f"events of the {name} window or a later one count as before it",
            np.flatnonzero(before & (histories.time >= told.split.starts[name])),
            lambda at: told.event(at, told.due(at), told.laid(at)),
        )


def _check_visible(told: Told, requests: Requests) -> None:
    histories = told.histories
    start = histories.offsets[requests.user]
    some = np.flatnonzero(requests.history_end > start)
    late = histories.time[requests.history_end[some] - 1] >= requests.time[some]
    stop(
        "requests see an event that is not strictly earlier",
        some[late],
        lambda row: told.seen(int(requests.history_end[row]) - 1, requests, row),
    )
    for name in WINDOWS:
        rows = np.flatnonzero(requests.window == name)
        outside = requests.history_end[rows] < told.split.cuts[name][requests.user[rows]]
        stop(
            f"{name} requests lie before their window",
            rows[outside],
            lambda row: told.asked(int(requests.history_end[row]), requests, row),
        )


def _check_relevant(told: Told, requests: Requests) -> None:
    """Each relevant item needs an event of its own: not visible to the request, inside the request's window."""
    histories = told.histories
    rows = np.repeat(np.arange(len(requests)), np.diff(requests.offsets))
    user = requests.user[rows].astype(np.int64)
    ends = {name: told.split.cuts[later] for name, later in pairwise(WINDOWS)}
    ends["test"] = histories.offsets[1:]
    end = np.zeros(len(rows), dtype=np.int64)
    for name in WINDOWS:
        here = requests.window[rows] == name
        end[here] = ends[name][user[here]]
    owner = np.repeat(np.arange(histories.users), np.diff(histories.offsets))
    items = int(max(histories.item.max(initial=0), requests.items.max(initial=0))) + 2
    event_pair = owner * items + histories.item + 1
    pair = user * items + requests.items + 1
    known, event_code = np.unique(event_pair, return_inverse=True)
    place = np.minimum(np.searchsorted(known, pair), len(known) - 1)
    met = known[place] == pair
    events = len(event_pair)
    event_key = np.sort(event_code * events + np.arange(events))
    wanted = place * events + requests.history_end[rows]
    found = np.minimum(np.searchsorted(event_key, wanted), events - 1)
    inside = met & (event_key[found] >= wanted) & (event_key[found] < place * events + end)
    stop(
        "relevant items have no event after their request's moment and inside its window",
        np.flatnonzero(~inside),
        lambda place: told.relevant(requests, int(rows[place]), int(requests.items[place])),
    )


def _check_available(told: Told, requests: Requests, availability: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    first, until = availability
    rows = np.repeat(np.arange(len(requests)), np.diff(requests.offsets))
    moment = requests.time[rows]
    away = (first[requests.items] > moment) | (until[requests.items] <= moment)
    stop(
        "relevant items were not available at their request's moment",
        np.flatnonzero(away),
        lambda place: told.away(requests, int(rows[place]), int(requests.items[place]), first, until),
    )


def _check_labels(told: Told, intents: NDArray[np.int8]) -> None:
    """A label needs a later event of its session inside its window: the last one of a session's window has none."""
    histories = told.histories
    window = told.split.window_of(histories)
    order = np.lexsort((histories.time, window, histories.session))
    key = np.stack([histories.session[order], window[order], histories.time[order]])
    last = np.ones(len(order), dtype=bool)
    last[:-1] = np.any(key[:2, 1:] != key[:2, :-1], axis=0)
    # Positions at the same time as the last of their block see nothing later either.
    block_end = np.flatnonzero(last)[np.searchsorted(np.flatnonzero(last), np.arange(len(order)))]
    nothing_later = key[2] == key[2][block_end]
    stop(
        "intent labels look past their window",
        np.sort(order[nothing_later & (intents[order] >= 0)]),
        told.labelled,
    )


def _check_request_labels(told: Told, requests: Requests) -> None:
    """A request's label needs an event of its session that is strictly later than it and lies in its window."""
    histories = told.histories
    window = told.split.window_of(histories)
    rows = np.flatnonzero(requests.intent >= 0)
    late = np.zeros(len(rows), dtype=bool)
    for place, name in enumerate(WINDOWS):
        inside = window == place
        sessions, code = np.unique(histories.session[inside], return_inverse=True)
        last = np.full(len(sessions) + 1, np.iinfo(np.int64).min)
        np.maximum.at(last, code, histories.time[inside])
        mine = requests.window[rows] == name
        found = np.minimum(np.searchsorted(sessions, requests.session[rows]), max(len(sessions) - 1, 0))
        known = np.isin(requests.session[rows], sessions)
        late |= mine & ~(known & (last[found] > requests.time[rows]))
    stop(
        "requests have an intent label from beyond their window",
        rows[late],
        lambda row: told.asked(min(int(requests.history_end[row]), len(histories.time) - 1), requests, row),
    )
