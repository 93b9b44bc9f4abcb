"""Some users side by side: what they did before, what they were shown and why, and what they then did.

Nobody is named. A pseudonym says only where a user stands on the page; who stands there is drawn by a seeded hash and
then sorted by length of history, so no id, and no hash of one, can be read out of it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.candidates import BLEND
from commerce.columns import ACTIONS, DAY, MICROSECONDS, NO_ITEM, NO_QUERY
from commerce.records import Requests, check_record
from commerce.sensitive import tellable
from pipeline.report.evidence import Measurement, Shop

USERS = 20
NEW_SHARE = 0.25
"""Of the users shown, those without any event before the window, where there are as many."""
_PER_LETTER = 5
_RECENT = 8
_SHOWN = 10
_DEPTH = 100
"""How far down a list is looked for what the user then chose."""


@dataclass(frozen=True)
class Event:
    """A line of a history."""

    action: str
    what: str
    """A title, or the search terms."""
    ago: str


@dataclass(frozen=True)
class Recommended:
    """A line of the list that the user was shown."""

    rank: int
    """From 1."""
    title: str
    sources: list[tuple[str, int]]
    """Candidate sources that found it and the rank each gave it, from 1; best first."""
    blended: int | None
    """Its rank in the blended order, before any reranker; None if it is not in it."""
    hit: bool


@dataclass(frozen=True)
class Chosen:
    """What the user then did."""

    title: str
    gain: float
    action: str
    """The target action, where the gain tells which it was; else empty."""
    rank: int | None
    """Where the list had it, from 1; None if not among the first ``depth``."""


@dataclass(frozen=True)
class Person:
    """A user at the moment of one request."""

    pseudonym: str
    new: bool
    """No event before the window."""
    events: int
    """Visible at the moment."""
    query: str
    history: list[Event]
    """The last ones, newest first."""
    recommended: list[Recommended]
    chosen: list[Chosen]
    depth: int
    """How far down the list was looked."""

    @property
    def hits(self) -> int:
        """How many of the chosen items stand among those shown."""
        return sum(line.hit for line in self.recommended)


def name_people(requests: Requests, shop: Shop, seed: int, count: int = USERS) -> dict[int, str]:
    """Draw some users, one request of each, and return request id -> pseudonym in the order of the page."""
    new = shop.cuts[requests.user] == shop.histories.offsets[requests.user]
    rows = choose(requests, new, count, seed)
    length = requests.history_end[rows] - shop.histories.offsets[requests.user[rows]]
    rows = rows[np.argsort(length, kind="stable")]
    return {int(requests.request_id[row]): pseudonym(place) for place, row in enumerate(rows)}


def choose(requests: Requests, new: NDArray[np.bool_], count: int, seed: int) -> NDArray[np.int64]:
    """Return rows of one request each of ``count`` users, or of all if fewer, by a seeded hash.

    Args:
        requests: in any order.
        new: ``[requests]``, whether the user is new.
        count: of users.
        seed: another one draws others.

    A ``NEW_SHARE`` of them are new users; where there are too few of one kind, the other fills up.
    """
    drawn = [hashlib.blake2b(f"{seed}:report:{key}".encode(), digest_size=8).digest() for key in requests.request_id]
    order = np.argsort(np.array([int.from_bytes(digest) for digest in drawn], dtype=np.uint64))
    _, first = np.unique(requests.user[order], return_index=True)
    rows = order[np.sort(first)]
    newcomers, others = rows[new[rows]], rows[~new[rows]]
    wanted = max(round(count * NEW_SHARE), count - len(others))
    newcomers = newcomers[:wanted]
    return np.concatenate([newcomers, others[: count - len(newcomers)]])


def pseudonym(place: int) -> str:
    """Return the name of whoever stands at ``place``, from 0: User A1 to A5, B1 to B5, ..."""
    return f"User {chr(ord('A') + place // _PER_LETTER)}{place % _PER_LETTER + 1}"


def describe_people(measurement: Measurement, shop: Shop, named: dict[int, str]) -> list[Person]:
    """Return the named requests (id -> pseudonym) as one protocol measured them; those it dropped are left out."""
    requests = measurement.requests
    place = {int(key): row for row, key in enumerate(requests.request_id)}
    rows = {key: place[key] for key in named if key in place}
    lists = measurement.ranked("mercato", _DEPTH)
    found = _candidates(measurement, list(rows))
    targets = {float(np.float32(gain)): action for action, gain in measurement.metrics["targets"].items()}
    # Where two actions are worth the same, a gain does not tell which of them it was.
    telling = targets if len(targets) == len(measurement.metrics["targets"]) else {}
    people = []
    for key, row in rows.items():
        user, end = int(requests.user[row]), int(requests.history_end[row])
        query = int(requests.query[row])
        relevant = slice(int(measurement.relevant.offsets[row]), int(measurement.relevant.offsets[row + 1]))
        items, gains = measurement.relevant.items[relevant], measurement.relevant.gains[relevant]
        people.append(
            Person(
                pseudonym=named[key],
                new=bool(shop.cuts[user] == shop.histories.offsets[user]),
                events=end - int(shop.histories.offsets[user]),
                query="" if query == NO_QUERY else shop.queries[query],
                history=_history(shop, user, end, int(requests.time[row])),
                recommended=_recommended(lists[row], set(items.tolist()), found.get(key, {}), shop),
                chosen=_chosen(lists[row], items, gains, telling, shop),
                depth=lists.shape[1],
            )
        )
    return people


def _history(shop: Shop, user: int, end: int, moment: int) -> list[Event]:
    last = tellable(shop.histories.events(user, end), shop.sensitive).last(_RECENT)
    lines = []
    for item, action, time, query in zip(last.item, last.action, last.time, last.query, strict=True):
        terms = "" if query == NO_QUERY else shop.queries[query]
        what = terms if item == NO_ITEM else shop.titles[item]
        lines.append(Event(ACTIONS[action], what, ago(moment - int(time))))
    return lines[::-1]


def ago(microseconds: int) -> str:
    """Say how long before: in minutes, hours or days, never as a date, which would help to recognise someone."""
    minutes = microseconds // (60 * MICROSECONDS)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if microseconds < DAY else f"{microseconds // DAY} d"


def _recommended(
    ranked: NDArray[np.int32], relevant: set[int], found: dict[int, dict[str, int]], shop: Shop
) -> list[Recommended]:
    lines = []
    for rank, item in enumerate(ranked[:_SHOWN].tolist(), start=1):
        if item == NO_ITEM:
            break
        hidden = shop.sensitive is not None and shop.sensitive[item]
        ranks = {} if hidden else dict(found.get(item, {}))
        blended = ranks.pop(BLEND, None)
        sources = sorted(ranks.items(), key=lambda pair: (pair[1], pair[0]))
        lines.append(Recommended(rank, shop.titles[item], sources, blended, item in relevant))
    return lines


def _chosen(
    ranked: NDArray[np.int32],
    items: NDArray[np.int32],
    gains: NDArray[np.float32],
    actions: dict[float, str],
    shop: Shop,
) -> list[Chosen]:
    place = {item: rank for rank, item in reversed(list(enumerate(ranked.tolist(), start=1)))}
    lines = [
        Chosen(shop.titles[item], gain, actions.get(gain, ""), place.get(item))
        for item, gain in zip(items.tolist(), gains.tolist(), strict=True)
        if shop.sensitive is None or not shop.sensitive[item]
    ]
    return sorted(lines, key=lambda line: (-line.gain, line.rank or np.inf, line.title))


def _candidates(measurement: Measurement, keys: list[int]) -> dict[int, dict[int, dict[str, int]]]:
    """Return request id -> item -> source -> rank from 1."""
    check_record("candidates", measurement.candidates)
    # A filter, because the file holds every candidate of every request.
    columns = ["request_id", "item", "source", "rank"]
    table = pq.read_table(measurement.candidates, columns=columns, filters=[("request_id", "in", keys or [-1])])
    found: dict[int, dict[int, dict[str, int]]] = {}
    for key, item, source, rank in zip(*(table[name].to_pylist() for name in columns), strict=True):
        found.setdefault(key, {}).setdefault(item, {})[source] = rank + 1
    return found
