"""Parts of the requests that are measured by themselves: whom and what a system serves well.

A segment of requests keeps whole requests. A segment of items keeps only relevant items of that kind, in the requests
that have any: "recall of cold items" asks how many of the cold items that users chose were found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.columns import INTENTS, NO_ITEM, NO_QUERY
from commerce.histories import Histories
from commerce.metrics import Relevant
from commerce.records import Requests

HEAD_SHARE = 0.5
"""The most met items that together had this share of all events are the head."""
TORSO_SHARE = 0.8
"""Head and torso together had this share; all other items, the cold ones included, are the tail."""
HISTORY_LENGTHS = (0, 1, 5, 20, 100)
"""Where the classes of history length begin, in visible events."""

_LENGTHS = tuple(zip(HISTORY_LENGTHS, (*HISTORY_LENGTHS[1:], None), strict=True))
_BLOCK_USERS = 100_000


@dataclass(frozen=True)
class Segment:
    """A named part of what was asked."""

    name: str
    keep: NDArray[np.bool_]
    """``[relevant]``: the relevant items that count in it."""
    of_items: bool
    """Whether it parts the relevant items, not the requests."""


def events_before(histories: Histories, cuts: NDArray[np.int64], items: int) -> NDArray[np.int64]:
    """Return each item's events before a window, ``[items]``; ``cuts`` ([users]) is where the window cuts histories."""
    counts = np.zeros(items, dtype=np.int64)
    for start in range(0, histories.users, _BLOCK_USERS):
        stop = min(start + _BLOCK_USERS, histories.users)
        lengths = np.diff(histories.offsets[start : stop + 1])
        first, last = int(histories.offsets[start]), int(histories.offsets[stop])
        early = np.arange(first, last) < np.repeat(cuts[start:stop], lengths)
        met = histories.item[first:last][early]
        counts += np.bincount(met[met != NO_ITEM], minlength=items)
    return counts


def item_classes(events: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    """Return, by name, which items (``[items]``) are cold, warm, head, torso and tail.

    Args:
        events: ``[items]``, events before the window. Cold items have none. Equally met items go by their code.
    """
    order = np.argsort(-events, kind="stable")
    before = np.concatenate([[0], np.cumsum(events[order])[:-1]])
    reached = np.empty(len(events))
    reached[order] = before / max(1, int(events.sum()))
    met = events > 0
    head, torso = met & (reached < HEAD_SHARE), met & (reached >= HEAD_SHARE) & (reached < TORSO_SHARE)
    return {"cold": ~met, "warm": met, "head": head, "torso": torso, "tail": ~head & ~torso}


def find_segments(
    requests: Requests, relevant: Relevant, histories: Histories, cuts: NDArray[np.int64], events: NDArray[np.int64]
) -> list[Segment]:
    """Return the segments that hold some but not all of what was asked.

    Args:
        requests: one window's.
        relevant: their relevant items, row by row.
        histories: of all users.
        cuts: ``[users]``, where that window cuts the histories.
        events: ``[items]``, events before the window.
    """
    whole = len(relevant.items)
    found = [*_of_requests(requests, relevant, histories, cuts), *_of_items(relevant, events)]
    return [segment for segment in found if 0 < segment.keep.sum() < whole]


def segment_names() -> list[str]:
    """Return the names of the segments that every shop may have."""
    return [
        *("user: new", "user: returning", "query: with", "query: without"),
        *(_history_name(low, high) for low, high in _LENGTHS),
        *(f"intent: {intent}" for intent in INTENTS),
        *(f"item: {name}" for name in item_classes(np.zeros(1, dtype=np.int64))),
    ]


def _history_name(low: int, high: int | None) -> str:
    if high is None:
        return f"history: {low}+"
    return f"history: {low}-{high - 1}" if high > low + 1 else f"history: {low}"


def _of_requests(
    requests: Requests, relevant: Relevant, histories: Histories, cuts: NDArray[np.int64]
) -> Iterator[Segment]:
    start = histories.offsets[requests.user]
    new = cuts[requests.user] == start
    asked = requests.query != NO_QUERY
    chosen = {"user: new": new, "user: returning": ~new, "query: with": asked, "query: without": ~asked}
    length = requests.history_end - start
    for low, high in _LENGTHS:
        chosen[_history_name(low, high)] = (length >= low) & (True if high is None else length < high)
    for code, intent in enumerate(INTENTS):
        chosen[f"intent: {intent}"] = requests.intent == code
    for name, mask in chosen.items():
        yield Segment(name, np.repeat(mask, relevant.counts), of_items=False)


def _of_items(relevant: Relevant, events: NDArray[np.int64]) -> Iterator[Segment]:
    for name, members in item_classes(events).items():
        yield Segment(f"item: {name}", members[relevant.items], of_items=True)
