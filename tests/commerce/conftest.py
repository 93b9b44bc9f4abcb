import numpy as np
import pytest

from commerce.columns import ACTION_CODES
from commerce.histories import Histories


@pytest.fixture
def warehouse():
    from commerce.warehouse import open_warehouse

    opened = open_warehouse(threads=1)
    yield opened
    opened.disconnect()


@pytest.fixture(scope="session")
def histories_of():
    """Return a function: events (user, item, action, time, session[, query]) -> Histories of ``users`` users."""

    def build(rows, users=None):
        rows = sorted(((*row, -1)[:6] for row in rows), key=lambda row: (row[0], row[3]))
        users = users if users is not None else max(row[0] for row in rows) + 1
        counts = np.bincount([row[0] for row in rows], minlength=users)
        return Histories(
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            item=np.array([row[1] for row in rows], dtype=np.int32),
            action=np.array([ACTION_CODES[row[2]] for row in rows], dtype=np.uint8),
            time=np.array([row[3] for row in rows], dtype=np.int64),
            query=np.array([row[5] for row in rows], dtype=np.int32),
            session=np.array([row[4] for row in rows], dtype=np.int64),
        )

    return build
