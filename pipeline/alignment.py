"""Two runs on the same requests: which of their requests are one and the same, and what else sets them apart.

Runs code users and items as they met them, so requests are recognised by the shop's own ids: the user, the moment, and
the items that turned out relevant, with their gains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.metrics import Relevant
from commerce.records import Requests
from configs.errors import InputError
from pipeline.asked import Evaluated

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Alignment:
    """What two runs share."""

    first: Rows
    """``[common]``: rows of the first run's requests."""
    second: Rows
    """``[common]``: rows of the second run's, the same requests in the same order."""
    items: NDArray[np.int32]
    """``[items of the second run]``: their codes in the first run; beyond its catalogue for items it does not have."""
    left_out: tuple[int, int, int]
    """Requests that only the first has, that only the second has, and that differ in what was relevant."""
    apart: list[str]
    """What sets the measurements apart, each a phrase; empty where they are comparable as they are."""


def align(first: Evaluated, second: Evaluated) -> Alignment:
    """Recognise the requests that two runs have in common.

    Raises:
        InputError: if the runs list items by different rules, so that no choice of requests makes them comparable.
    """
    _refuse_other_rule(first, second)
    items = _codes(second.ids("item"), first.ids("item"))
    users = _codes(second.ids("user"), first.ids("user"))
    ours = request_keys(first.requests, first.requests.user)
    theirs = request_keys(second.requests, users[second.requests.user])
    _, one, other = np.intersect1d(ours, theirs, assume_unique=True, return_indices=True)
    in_order = np.argsort(one)
    one, other = one[in_order], other[in_order]
    mapped = Relevant(second.relevant.offsets, items[second.relevant.items], second.relevant.gains)
    same = _same_relevant(take(first.relevant, one), take(mapped, other))
    left_out = (len(ours) - len(one), len(theirs) - len(one), int((~same).sum()))
    return Alignment(one[same], other[same], items, left_out, _apart(first, second, items, left_out))


def take(relevant: Relevant, rows: Rows) -> Relevant:
    """Return the relevant items of some requests, in the order of ``rows``."""
    counts = relevant.counts[rows]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    flat = np.arange(offsets[-1]) + np.repeat(relevant.offsets[rows] - offsets[:-1], counts)
    return Relevant(offsets, relevant.items[flat], relevant.gains[flat])


def _refuse_other_rule(first: Evaluated, second: Evaluated) -> None:
    one, other = first.metrics["filter_seen"], second.metrics["filter_seen"]
    if one != other:
        raise InputError(
            f"{first.root} was measured with filter_seen {_on(one)} and {second.root} with filter_seen {_on(other)}: "
            "one may list what users had before and the other may not, so no requests make them comparable; run "
            f"`mercato run CONFIG evaluate.filter_seen={str(one).lower()}` for {second.root}"
        )


def _on(setting: bool) -> str:
    return "on" if setting else "off"


def _codes(ids: list[str], known: list[str]) -> NDArray[np.int32]:
    """Return the code among ``known`` of each id; ids that are not there get codes of their own beyond them."""
    if ids == known:
        return np.arange(len(ids), dtype=np.int32)
    codes = {name: code for code, name in enumerate(known)}
    return np.array([codes.get(name, len(known) + place) for place, name in enumerate(ids)], dtype=np.int32)


def request_keys(requests: Requests, users: NDArray[np.integer]) -> NDArray[np.void]:
    """Return what tells a request from all others: user, moment, and its number among those of one user and moment."""
    keys = np.zeros(len(requests), dtype=[("user", np.int64), ("time", np.int64), ("number", np.int64)])
    keys["user"], keys["time"] = users, requests.time
    order = np.lexsort((np.arange(len(keys)), requests.time, users))
    again = (np.diff(users[order], prepend=-1) == 0) & (np.diff(requests.time[order], prepend=0) == 0)
    place = np.arange(len(keys))
    keys["number"][order] = place - np.maximum.accumulate(np.where(again, 0, place))
    return keys


def _same_relevant(one: Relevant, other: Relevant) -> NDArray[np.bool_]:
    """Return for which requests both hold the same items with the same gains, in whatever order, ``[requests]``."""
    same: NDArray[np.bool_] = one.counts == other.counts
    first, second = one.of(same), other.of(same)
    by_item = [np.lexsort((part.items, part.rows)) for part in (first, second)]
    unlike = first.items[by_item[0]] != second.items[by_item[1]]
    unlike |= ~np.isclose(first.gains[by_item[0]], second.gains[by_item[1]])
    same[np.flatnonzero(same)[np.unique(first.rows[unlike])]] = False
    return same


def _apart(first: Evaluated, second: Evaluated, items: NDArray[np.int32], left_out: tuple[int, int, int]) -> list[str]:
    only_first, only_second, other = left_out
    phrases = [
        f"{name} {_told(first.metrics[name])} against {_told(second.metrics[name])}"
        for name in ("split", "targets", "window")
        if first.metrics[name] != second.metrics[name]
    ]
    ours = first.metrics["items"]
    known = int((items < ours).sum())
    if known < max(ours, len(items)):
        phrases.append(f"catalogue of {ours:,} items against {len(items):,}, {known:,} of them the same")
    if only_first or only_second:
        phrases.append(f"{only_first:,} requests only in the first and {only_second:,} only in the second")
    if other:
        phrases.append(f"{other:,} requests with other relevant items or gains")
    return phrases


def _told(fact: Any) -> str:
    if isinstance(fact, dict):
        if set(fact) == {"from", "until"}:
            return f"{fact['from']} to {fact['until']}" if fact["from"] else "of each user's own"
        return "(" + ", ".join(f"{action} {gain:g}" for action, gain in fact.items()) + ")"
    return str(fact)
