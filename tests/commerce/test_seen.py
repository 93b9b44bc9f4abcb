import numpy as np
import pytest

from commerce.histories import Histories
from commerce.metrics import Relevant
from commerce.seen import drop_seen, seen_pairs

VIEW, PURCHASE, SEARCH = 2, 5, 0
# User 0 views 4, buys 3, searches, buys 3 again, buys 2. User 1 does nothing. User 2 buys 4.
HISTORIES = Histories(
    offsets=np.array([0, 5, 5, 6]),
    item=np.array([4, 3, -1, 3, 2, 4], np.int32),
    action=np.array([VIEW, PURCHASE, SEARCH, PURCHASE, PURCHASE, PURCHASE], np.uint8),
    time=np.arange(6),
    query=np.full(6, -1, np.int32),
    session=np.zeros(6, np.int64),
)


def test_each_item_had_is_told_once_and_only_by_a_target_action():
    rows, items = seen_pairs(HISTORIES, np.array([0, 1, 2]), np.array([5, 5, 6]), ["purchase"])
    assert list(zip(rows, items, strict=True)) == [(0, 2), (0, 3), (2, 4)]


def test_every_target_action_counts():
    rows, items = seen_pairs(HISTORIES, np.array([0]), np.array([5]), ["purchase", "view"])
    assert list(zip(rows, items, strict=True)) == [(0, 2), (0, 3), (0, 4)]


def test_events_without_an_item_give_nothing():
    rows, items = seen_pairs(HISTORIES, np.array([2, 0]), np.array([6, 5]), ["search"])
    assert (len(rows), len(items)) == (0, 0)


def test_only_what_is_visible_was_had():
    rows, items = seen_pairs(HISTORIES, np.array([0, 0, 2]), np.array([4, 1, 5]), ["purchase"])
    assert list(zip(rows, items, strict=True)) == [(0, 3)]


@pytest.mark.parametrize("block", [1, 4096])
def test_relevant_items_that_were_had_do_not_count(monkeypatch, block):
    monkeypatch.setattr("commerce.seen._BLOCK_REQUESTS", block)
    relevant = Relevant(np.array([0, 3, 4, 5]), np.array([2, 3, 9, 3, 4], np.int32), np.arange(1, 6, dtype=np.float32))
    left = drop_seen(relevant, HISTORIES, np.array([0, 1, 2]), np.array([4, 5, 6]), ["purchase"])
    assert left.offsets.tolist() == [0, 2, 3, 3]  # the third request is emptied
    assert left.items.tolist() == [2, 9, 3]
    assert left.gains.tolist() == [1, 3, 4]
