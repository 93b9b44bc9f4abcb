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


@pytest.fixture
def label(warehouse):
    """Return a function: histories and moments (the positions unless given) -> labels by rule, int8."""
    import ibis
    import pyarrow as pa

    from commerce.intent import (
        IntentRules,
        fetch_labels,
        history_events,
        label_moments,
        leaf_table,
        moment_table,
        session_marks,
    )

    def labels(histories, window, leaf, moments=None, substitutes=None, **rules):
        if substitutes is not None:
            pairs = np.array(substitutes, dtype=np.int32)
            substitutes = ibis.memtable(pa.table({"item": pairs[:, 0], "other": pairs[:, 1]}))
        marks = session_marks(history_events(histories, window), leaf_table(leaf), substitutes, IntentRules(**rules))
        session, of, time = moments or (histories.session, window, histories.time)
        return fetch_labels(warehouse, label_moments(moment_table(session, of, time), marks))

    return labels


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
