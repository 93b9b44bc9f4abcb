import numpy as np
import pytest

from commerce.columns import ACTION_CODES, NO_ITEM, NO_QUERY
from commerce.histories import Histories

HOUR = 3_600 * 1_000_000


@pytest.fixture(scope="session")
def lay():
    """Return a function: per user, events as (hour, action, item) or (hour, "search", query code) -> Histories."""

    def _lay(*users):
        rows = [event for events in users for event in events]
        searched = [action == "search" for _, action, _ in rows]
        return Histories(
            offsets=np.cumsum([0, *map(len, users)]).astype(np.int64),
            item=np.array([NO_ITEM if s else i for (_, _, i), s in zip(rows, searched, strict=True)], dtype=np.int32),
            action=np.array([ACTION_CODES[action] for _, action, _ in rows], dtype=np.uint8),
            time=np.array([int(hour * HOUR) for hour, _, _ in rows], dtype=np.int64),
            query=np.array([i if s else NO_QUERY for (_, _, i), s in zip(rows, searched, strict=True)], dtype=np.int32),
            session=np.zeros(len(rows), dtype=np.int64),
        )

    return _lay
