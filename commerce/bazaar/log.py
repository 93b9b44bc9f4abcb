"""The growing log of a block of shoppers: columns of numbers, put into order once at the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

CAUSES = ("taste", "query", "complement", "comparison", "repeat", "promotion", "position", "fraud")
"""True causes of purchases by code.

A purchase has one: ``fraud``; ``repeat``, the refill of what ran out; ``promotion``, the place was sold;
``position``, it would not have been clicked if every place were looked at alike; ``comparison``, it was on the
shortlist of the comparison before; ``complement``, the session was about what goes with the last purchase; ``query``,
the session opened with words that say what is wanted; else ``taste``.
"""
TASTE, QUERY, COMPLEMENT, COMPARISON, REPEAT, PROMOTION, POSITION, FRAUD = range(len(CAUSES))

EVENT_COLUMNS = ("user", "time", "action", "item", "query", "session", "page", "position", "cause")
SESSION_COLUMNS = ("user", "session", "time", "intent", "topic", "reason", "informed")


class Log:
    """Events and sessions as they come; -1 stands for none in every column."""

    def __init__(self) -> None:
        self._events: list[tuple[NDArray[np.int64], ...]] = []
        self._sessions: list[tuple[NDArray[np.int64], ...]] = []

    def events(self, keep: NDArray[np.bool_], **columns: ArrayLike) -> None:
        """Add an event for each true cell of ``keep``; the columns are broadcast to its shape."""
        taken = []
        for name in EVENT_COLUMNS:
            column = np.asarray(columns.get(name, -1), dtype=np.int64)
            taken.append(np.broadcast_to(column, keep.shape)[keep])
        self._events.append(tuple(taken))

    def sessions(self, **columns: ArrayLike) -> None:
        """Add one row for each session."""
        self._sessions.append(tuple(np.asarray(columns[name], dtype=np.int64) for name in SESSION_COLUMNS))

    def written(self) -> Written:
        """Return everything so far: events by (user, time, action, position), sessions by (user, session)."""
        events = _stack(self._events, EVENT_COLUMNS)
        order = np.lexsort((events["position"], events["action"], events["time"], events["user"]))
        sessions = _stack(self._sessions, SESSION_COLUMNS)
        turn = np.lexsort((sessions["session"], sessions["user"]))
        return Written(
            {name: column[order] for name, column in events.items()},
            {name: column[turn] for name, column in sessions.items()},
        )


@dataclass(frozen=True)
class Written:
    """A finished log: int64 columns named by ``EVENT_COLUMNS`` and ``SESSION_COLUMNS``."""

    events: dict[str, NDArray[np.int64]]
    sessions: dict[str, NDArray[np.int64]]


def _stack(parts: list[tuple[NDArray[np.int64], ...]], names: tuple[str, ...]) -> dict[str, NDArray[np.int64]]:
    nothing = np.zeros(0, dtype=np.int64)
    return {
        name: np.concatenate([part[column] for part in parts]) if parts else nothing
        for column, name in enumerate(names)
    }
