"""What a user's sessions show at a moment, in numbers: the one implementation, for training, embedding and serving.

NumPy only. The caller passes the events that are visible (strictly earlier than the moment) and nothing here looks
further, so every number is of the prefix alone. Sessions are told apart by pauses here, also where the log names them,
because a request names none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, ACTIONS, DAY, MICROSECONDS, NO_ITEM, NO_QUERY
from commerce.histories import Events, Histories

REACH = 200
"""Events that are looked at, the last ones: what came before says little about now and costs time."""
_MINUTE = 60 * MICROSECONDS
_NEVER_DAYS = 365.0
"""Stands for the days since a purchase, or a session, that never was."""
_KINDS = [code for action, code in ACTION_CODES.items() if action != "impression"]
_COUNTED = tuple(f"{ACTIONS[code]} events" for code in _KINDS)
_HABITS = ("search", "favorite", "cart", "purchase")
_PART = ("events", *_COUNTED, "distinct items", "distinct leaf categories", "events of one leaf category", "returns")
STATISTICS = (
    *(f"{name}, this session" for name in _PART),
    "minutes since the session began",
    "minutes since the last event",
    "spread of log prices, this session",
    "a query is asked",
    "the query is another than the one before",
    "words of the query",
    *(f"{name}, the session before" for name in _PART),
    "sessions before",
    "days since the session before",
    *(f"share of sessions before with a {action}" for action in _HABITS),
    "distinct items of a session before, on average",
    "days since the last purchase",
)
"""Names of the numbers, in order. Counts and times enter as log(1 + x)."""


@dataclass(frozen=True)
class SessionFacts:
    """What the numbers are counted with; arrays are ``[items]``."""

    leaf: NDArray[np.int32]
    """Code of the leaf category, -1 without one: such an item counts in none."""
    price: NDArray[np.float32]
    """NaN where unknown: such an item does not enter the spread."""
    pause: int
    """Microseconds without an event after which a new session has begun."""


def query_words(text: str) -> float:
    """Return how many words a query has; two Chinese or Japanese characters count as one, being one word mostly."""
    wide = sum("\u3040" <= letter <= "\u9fff" for letter in text)
    narrow = "".join(" " if "\u3040" <= letter <= "\u9fff" else letter for letter in text)
    return len(narrow.split()) + wide / 2


def session_statistics(
    events: Events, moment: int, query: int, words: float, facts: SessionFacts
) -> NDArray[np.float32]:
    """Return the numbers of ``STATISTICS``, float32 ``[statistics]``.

    Args:
        events: what the user did strictly before the moment, oldest first.
        moment: microseconds; with an event at most a pause before it, that event's session goes on.
        query: code of what is asked for now, ``NO_QUERY`` without: it is not among the events yet.
        words: of the query, as ``query_words`` counts them; 0 without one.
        facts: of the items.
    """
    events = events.last(REACH)
    number: NDArray[np.int64] = np.cumsum(np.diff(events.time, prepend=events.time[:1]) > facts.pause)
    sessions = int(number[-1]) + 1 if len(events) else 0
    ongoing = sessions > 0 and moment - int(events.time[-1]) <= facts.pause
    past = sessions - int(ongoing)
    begin, before = np.searchsorted(number, [past, max(past - 1, 0)])
    now, last = _part(events, int(begin), len(events)), _part(events, int(before), int(begin))
    counts = [
        *_count_part(now, facts),
        *([(moment - int(now.time[0])) / _MINUTE, (moment - int(now.time[-1])) / _MINUTE] if ongoing else [0.0, 0.0]),
    ]
    searched = now.query[now.query != NO_QUERY]
    another = query != NO_QUERY and len(searched) > 0 and int(searched[-1]) != query
    plain = [_price_spread(now, facts), float(query != NO_QUERY), float(another)]
    away = (moment - int(last.time[-1])) / DAY if past else _NEVER_DAYS
    habits = _habits(_part(events, 0, int(begin)), number[: int(begin)], past)
    bought = events.time[events.action == ACTION_CODES["purchase"]]
    since = (moment - int(bought[-1])) / DAY if len(bought) else _NEVER_DAYS
    return np.concatenate(
        [
            np.log1p(counts),
            plain,
            np.log1p([words, *_count_part(last, facts), past, max(away, 0.0)]),
            habits,
            np.log1p([max(since, 0.0)]),
        ]
    ).astype(np.float32)


@dataclass(frozen=True)
class LoggedSessions:
    """The same for moments of a log."""

    facts: SessionFacts
    words: NDArray[np.float32]
    """``[queries]``: words of each query."""

    def statistics(
        self,
        histories: Histories,
        user: NDArray[np.integer],
        end: NDArray[np.integer],
        time: NDArray[np.integer],
        query: NDArray[np.integer],
    ) -> NDArray[np.float32]:
        """Return the numbers of moments, float32 ``[moments, statistics]``.

        Args:
            histories: of all users.
            user: ``[moments]``.
            end: ``[moments]``, absolute position where what is visible ends.
            time: ``[moments]``, microseconds.
            query: ``[moments]``, code of what is asked for, ``NO_QUERY`` without.
        """
        found = np.zeros((len(user), len(STATISTICS)), dtype=np.float32)
        for row, (one, stop, moment, asked) in enumerate(
            zip(user.tolist(), end.tolist(), time.tolist(), query.tolist(), strict=True)
        ):
            events = histories.events(one, stop)
            words = float(self.words[asked]) if asked != NO_QUERY else 0.0
            found[row] = session_statistics(events, moment, asked, words, self.facts)
        return found


def _part(events: Events, start: int, stop: int) -> Events:
    span = slice(start, stop)
    return Events(events.item[span], events.action[span], events.time[span], events.query[span])


def _count_part(events: Events, facts: SessionFacts) -> list[float]:
    """Return the numbers of ``_PART`` of one session's events."""
    items = events.item[events.item != NO_ITEM]
    leaves = facts.leaf[items]
    _, met = np.unique(leaves[leaves >= 0], return_counts=True)
    distinct = len(set(items.tolist()))
    # An item looked at again at once is no return: what comes after another item starts a run.
    runs = int(np.count_nonzero(np.diff(items))) + 1 if len(items) else 0
    kinds = np.bincount(events.action, minlength=len(ACTIONS))[_KINDS]
    return [len(events), *kinds.tolist(), distinct, len(met), int(met.max(initial=0)), runs - distinct]


def _price_spread(events: Events, facts: SessionFacts) -> float:
    """Return the standard deviation of the log prices of a session's distinct items, 0 for fewer than two."""
    price = facts.price[list(set(events.item[events.item != NO_ITEM].tolist()))].astype(np.float64)
    price = price[np.isfinite(price) & (price > 0)]
    return float(np.log(price).std()) if len(price) > 1 else 0.0


def _habits(events: Events, number: NDArray[np.int64], sessions: int) -> list[float]:
    """Return the shares of finished sessions with each of ``_HABITS``, and log(1 + mean distinct items of one).

    ``number`` ([events]) says which of the ``sessions`` each event belongs to.
    """
    if not sessions:
        return [0.0] * (len(_HABITS) + 1)
    shares = [len(set(number[events.action == ACTION_CODES[action]].tolist())) / sessions for action in _HABITS]
    pairs = set(zip(number.tolist(), events.item.tolist(), strict=True))
    distinct = sum(item != NO_ITEM for _, item in pairs)
    return [*shares, float(np.log1p(distinct / sessions))]
