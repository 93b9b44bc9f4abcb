"""Moments of lessons: just before targets, in the form of requests, and never past the towers' window."""

import numpy as np

from commerce.columns import ACTION_CODES, NO_ITEM, NO_QUERY
from commerce.histories import Histories
from pipeline.lessons import lesson_moments
from towers.targets import Targets

# One user looks at 0, searches, buys 1 and 2, and comes back to buy 3 and 4 together.
EVENTS = [
    (10, "view", 0, 1),
    (20, "search", NO_ITEM, 1),
    (30, "purchase", 1, 1),
    (40, "purchase", 2, 1),
    (100, "purchase", 3, 2),
    (100, "purchase", 4, 2),
]


def _shop(*users):
    rows = [event for events in users for event in events]
    time, action, item, session = zip(*rows, strict=True)
    return Histories(
        offsets=np.cumsum([0, *map(len, users)]).astype(np.int64),
        item=np.array(item, dtype=np.int32),
        action=np.array([ACTION_CODES[one] for one in action], dtype=np.uint8),
        time=np.array(time, dtype=np.int64),
        query=np.array([7 if one == "search" else NO_QUERY for one in action], dtype=np.int32),
        session=np.array(session, dtype=np.int64),
    )


def _moments(histories, *, most=100, rolling=True, cuts=None):
    targets = Targets.of(histories, histories.offsets[1:] if cuts is None else cuts, {"purchase": 1.0})
    return lesson_moments(histories, targets, most, 0, rolling=rolling)


def test_lists_are_asked_for_at_searches_and_session_starts():
    position, moments = _moments(_shop(EVENTS))
    assert position.tolist() == [2, 4]  # the purchases after the search, and the first of the next session
    assert moments.query.tolist() == [7, NO_QUERY]
    assert moments.time.tolist() == [20, 100]
    assert moments.end.tolist() == [1, 4]  # the search is what is asked, not what was done before


def test_where_requests_come_once_every_target_is_asked_about():
    position, moments = _moments(_shop(EVENTS), rolling=False)
    assert position.tolist() == [2, 3, 4]
    assert moments.end.tolist() == [1, 3, 4]


def test_a_user_without_a_history_is_not_asked_about():
    histories = _shop([(10, "purchase", 1, 1), (20, "purchase", 2, 2)])
    assert _moments(histories)[0].tolist() == [1]


def test_nothing_is_asked_past_the_towers_window():
    histories = _shop(EVENTS, EVENTS)
    position, moments = _moments(histories, cuts=np.array([4, 9]))
    assert position.tolist() == [2, 8]
    assert (moments.end < np.array([4, 9])).all()


def test_a_bound_on_lists_holds():
    histories = _shop(*[EVENTS] * 10)
    position, moments = _moments(histories, most=7)
    assert len(moments) == len(position) == 7
    assert (np.diff(position) > 0).all()
