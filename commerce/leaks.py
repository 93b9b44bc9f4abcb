"""The leak check: nothing that is trained, counted or shown may know what it is to predict. Always on.

It works from the finished arrays alone, by another way than the code that made them.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from commerce.histories import Histories
from commerce.records import Requests
from commerce.splits import WINDOWS, Split
from configs.errors import InputError

_SHOWN = 3


class LeakError(InputError):
    """Something of a later window would be known in an earlier one."""


def check_leaks(
    histories: Histories,
    split: Split,
    requests: Requests,
    intents: NDArray[np.int8],
    availability: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    """Stop where an event lies on both sides of a request or a window.

    Args:
        histories: all events, sorted by (user, time).
        split: where windows cut the histories.
        requests: those of all windows.
        intents: ``[events]``, label of each position or -1.
        availability: first microsecond and end, ``[items]`` each.

    Raises:
        LeakError: with the first offending rows.
    """
    _check_order(histories)
    _check_cuts(histories, split)
    _check_visible(histories, split, requests)
    _check_relevant(histories, split, requests)
    _check_available(requests, availability)
    _check_labels(histories, split, intents)


def _check_order(histories: Histories) -> None:
    backwards = np.flatnonzero(np.diff(histories.time) < 0) + 1
    backwards = np.setdiff1d(backwards, histories.offsets)
    _stop(backwards, "events are earlier than the one before them in their user's history", "position")


def _check_cuts(histories: Histories, split: Split) -> None:
    bounds = [histories.offsets[:-1], *(split.cuts[name] for name in WINDOWS), histories.offsets[1:]]
    for earlier, later in pairwise(bounds):
        _stop(np.flatnonzero(earlier > later), "users have windows out of order", "user")
    for name in WINDOWS:
        cut = split.cuts[name]
        inside = np.flatnonzero((cut > histories.offsets[:-1]) & (cut < histories.offsets[1:]))
        same = histories.time[cut[inside] - 1] == histories.time[cut[inside]]
        _stop(inside[same], f"users have a group of equal-time events on both sides of the {name} window", "user")
        if name in split.starts:
            before = np.flatnonzero(cut > histories.offsets[:-1])
            late = histories.time[cut[before] - 1] >= split.starts[name]
            _stop(before[late], f"users have an event in the {name} window that counts as before it", "user")


def _check_visible(histories: Histories, split: Split, requests: Requests) -> None:
    start = histories.offsets[requests.user]
    some = np.flatnonzero(requests.history_end > start)
    late = histories.time[requests.history_end[some] - 1] >= requests.time[some]
    _stop(requests.request_id[some[late]], "requests see an event that is not strictly earlier", "request_id")
    for name in WINDOWS:
        rows = np.flatnonzero(requests.window == name)
        outside = requests.history_end[rows] < split.cuts[name][requests.user[rows]]
        _stop(requests.request_id[rows[outside]], f"{name} requests lie before their window", "request_id")


def _check_relevant(histories: Histories, split: Split, requests: Requests) -> None:
    """Each relevant item needs an event of its own: not visible to the request, inside the request's window."""
    rows = np.repeat(np.arange(len(requests)), np.diff(requests.offsets))
    user = requests.user[rows].astype(np.int64)
    ends = {name: split.cuts[later] for name, later in pairwise(WINDOWS)}
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
    _stop(
        requests.request_id[rows[~inside]],
        "requests count an item without an event after their moment and inside their window",
        "request_id",
    )


def _check_available(requests: Requests, availability: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    first, until = availability
    rows = np.repeat(np.arange(len(requests)), np.diff(requests.offsets))
    moment = requests.time[rows]
    away = (first[requests.items] > moment) | (until[requests.items] <= moment)
    _stop(requests.request_id[rows[away]], "requests count an item that was not available then", "request_id")


def _check_labels(histories: Histories, split: Split, intents: NDArray[np.int8]) -> None:
    """A label needs a later event of its session inside its window: the last one of a session's window has none."""
    window = split.window_of(histories)
    order = np.lexsort((histories.time, window, histories.session))
    key = np.stack([histories.session[order], window[order], histories.time[order]])
    last = np.ones(len(order), dtype=bool)
    last[:-1] = np.any(key[:2, 1:] != key[:2, :-1], axis=0)
    # Positions at the same time as the last of their block see nothing later either.
    block_end = np.flatnonzero(last)[np.searchsorted(np.flatnonzero(last), np.arange(len(order)))]
    nothing_later = key[2] == key[2][block_end]
    _stop(np.sort(order[nothing_later & (intents[order] >= 0)]), "intent labels look past their window", "position")


def _stop(offending: NDArray[np.integer] | Iterable[int], what: str, unit: str) -> None:
    rows = np.unique(np.asarray(offending))
    if len(rows):
        shown = ", ".join(str(row) for row in rows[:_SHOWN])
        raise LeakError(
            f"leak check: {len(rows):,} {what} (first: {unit} {shown}); "
            "this is a fault of the preparation, not of the log: please report it with the config"
        )
