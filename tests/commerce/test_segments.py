import numpy as np
import pytest

from commerce.histories import Histories
from commerce.metrics import Relevant
from commerce.records import Requests
from commerce.segments import events_before, find_segments, item_classes

# User 0: items 0, 1, then (from the window on) 2. User 1: item 0 within the window only. User 2: items 0, 0.
HISTORIES = Histories(
    offsets=np.array([0, 3, 4, 6]),
    item=np.array([0, 1, 2, 0, 0, 0], np.int32),
    action=np.full(6, 5, np.uint8),
    time=np.array([1, 2, 9, 9, 1, 2]),
    query=np.full(6, -1, np.int32),
    session=np.full(6, -1),
)
CUTS = np.array([2, 3, 6])


def requests(users, intents, queries, relevant):
    size = len(users)
    none = np.full(size, -1)
    return Requests(
        request_id=np.arange(size),
        window=np.full(size, "test"),
        half=np.full(size, ""),
        user=np.array(users, np.int32),
        time=np.full(size, 9),
        history_end=CUTS[users],
        query=np.array(queries, np.int32),
        session=none,
        intent=np.array(intents, np.int8),
        offsets=relevant.offsets,
        items=relevant.items,
        gains=relevant.gains,
    )


def test_events_of_the_window_are_not_counted(monkeypatch):
    assert events_before(HISTORIES, CUTS, 4).tolist() == [3, 1, 0, 0]
    monkeypatch.setattr("commerce.segments._BLOCK_USERS", 2)
    assert events_before(HISTORIES, CUTS, 4).tolist() == [3, 1, 0, 0]


def test_classes_of_items_by_their_share_of_events():
    # Shares .5, .3, .1, .1 and none: the first reaches half, the second .8.
    classes = item_classes(np.array([5, 3, 1, 1, 0]))
    assert {name: np.flatnonzero(members).tolist() for name, members in classes.items()} == {
        "cold": [4],
        "warm": [0, 1, 2, 3],
        "head": [0],
        "torso": [1],
        "tail": [2, 3, 4],
    }


@pytest.mark.parametrize("events", [np.zeros(3, int), np.array([2, 2, 2]), np.array([7])])
def test_head_torso_and_tail_part_the_catalogue(events):
    classes = item_classes(events)
    assert (classes["head"].astype(int) + classes["torso"] + classes["tail"] == 1).all()


def test_segments_of_requests_and_of_items():
    relevant = Relevant(np.array([0, 2, 3, 4]), np.array([0, 3, 1, 0], np.int32), np.ones(4, np.float32))
    asked = requests([0, 1, 2], [0, 2, 2], [-1, 5, -1], relevant)
    events = events_before(HISTORIES, CUTS, 4)
    found = {s.name: s.keep.tolist() for s in find_segments(asked, relevant, HISTORIES, CUTS, events)}
    assert found["user: new"] == [False, False, True, False]  # user 1 has nothing before the window
    assert found["user: returning"] == [True, True, False, True]
    assert found["history: 0"] == found["query: with"] == [False, False, True, False]
    assert found["history: 1-4"] == [True, True, False, True]
    assert found["intent: browse"] == [True, True, False, False]
    assert found["intent: buy"] == [False, False, True, True]
    assert found["item: cold"] == [False, True, False, False]  # item 3 was never met
    assert found["item: head"] == [True, False, False, True]
    # Nobody compares, nobody has a long history: no empty segments.
    assert not {"intent: compare", "history: 5-19", "history: 20-99", "history: 100+"} & set(found)


def test_a_segment_that_is_everything_is_left_out():
    relevant = Relevant(np.array([0, 1]), np.array([0], np.int32), np.ones(1, np.float32))
    asked = requests([0], [-1], [-1], relevant)
    assert find_segments(asked, relevant, HISTORIES, CUTS, events_before(HISTORIES, CUTS, 4)) == []
