"""What a model is told about a user at a moment: the one implementation, for training, ranking and serving.

NumPy only. The caller passes the events that are visible (strictly earlier than the moment); nothing here
looks further.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM, NO_QUERY
from commerce.histories import Events

HOUR = 3_600 * 1_000_000


@dataclass(frozen=True)
class TowerInputs:
    """What the behaviour encoder reads for ``batch`` users; padding stands at the end of a row.

    Arrays are ``[batch, length]``.
    """

    item: NDArray[np.int64]
    """Item code, ``NO_ITEM`` for searches and padding."""
    query: NDArray[np.int64]
    """Query code, ``NO_QUERY`` for events without and padding."""
    action: NDArray[np.int64]
    """Action code + 1; 0 is padding."""
    gap: NDArray[np.float32]
    """log(1 + hours) since the event before, 0 for the first."""
    count: NDArray[np.int64]
    """``[batch]``: events in the row; the user's state is read at ``count - 1``."""


def gaps(time: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return log(1 + hours) from each event's predecessor to it, 0 for the first; ``time`` is in microseconds."""
    hours = np.diff(time, prepend=time[:1]) / HOUR
    return np.log1p(np.maximum(hours, 0.0)).astype(np.float32)


def tower_inputs(histories: Sequence[Events], length: int) -> TowerInputs:
    """Lay the last ``length`` visible events of each user into padded rows.

    A current query belongs at the end of its user's events as a search event. A user without events gets an
    empty row (count 0).
    """
    kept = [events.last(length) for events in histories]
    shape = (len(kept), length)
    item = np.full(shape, NO_ITEM, dtype=np.int64)
    query = np.full(shape, NO_QUERY, dtype=np.int64)
    action = np.zeros(shape, dtype=np.int64)
    gap = np.zeros(shape, dtype=np.float32)
    for row, events in enumerate(kept):
        n = len(events)
        item[row, :n] = events.item
        query[row, :n] = events.query
        action[row, :n] = events.action.astype(np.int64) + 1
        gap[row, :n] = gaps(events.time)
    return TowerInputs(item, query, action, gap, np.array([len(events) for events in kept], dtype=np.int64))


def with_query(events: Events, query: int, moment: int) -> Events:
    """Return ``events`` with a search for ``query`` at ``moment`` as the last one; unchanged without a query."""
    if query == NO_QUERY:
        return events
    return Events(
        np.append(events.item, np.int32(NO_ITEM)),
        np.append(events.action, np.uint8(0)),
        np.append(events.time, np.int64(moment)),
        np.append(events.query, np.int32(query)),
    )
