import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commerce.columns import ACTION_CODES, DAY, MICROSECONDS, NO_ITEM, NO_QUERY
from commerce.histories import Events
from commerce.session_statistics import REACH, STATISTICS, LoggedSessions, SessionFacts, query_words, session_statistics

MINUTE = 60 * MICROSECONDS
FACTS = SessionFacts(
    leaf=np.array([0, 0, 1, -1], dtype=np.int32),
    price=np.array([1.0, np.e**2, np.nan, 5.0], dtype=np.float32),
    pause=30 * MINUTE,
)


def history(*rows):
    """Rows of (minute, action, item[, query])."""
    rows = [(*row, NO_QUERY)[:4] for row in rows]
    return Events(
        np.array([row[2] for row in rows], dtype=np.int32),
        np.array([ACTION_CODES[row[1]] for row in rows], dtype=np.uint8),
        np.array([round(row[0] * MINUTE) for row in rows], dtype=np.int64),
        np.array([row[3] for row in rows], dtype=np.int32),
    )


def told(events, minute, query=NO_QUERY, words=0.0):
    found = session_statistics(events, round(minute * MINUTE), query, words, FACTS)
    assert found.dtype == np.float32
    assert found.shape == (len(STATISTICS),)
    return dict(zip(STATISTICS, found.tolist(), strict=True))


VISIT = history((0, "search", NO_ITEM, 4), (1, "view", 0), (2, "view", 1), (3, "favorite", 1), (5, "view", 0))


def test_a_session_that_goes_on_is_counted():
    found = told(VISIT, 6)
    expected = {
        "events, this session": 5,
        "search events, this session": 1,
        "view events, this session": 3,
        "favorite events, this session": 1,
        "purchase events, this session": 0,
        "distinct items, this session": 2,
        "distinct leaf categories, this session": 1,
        "events of one leaf category, this session": 4,
        "returns, this session": 1,  # to item 0; marking item 1 at once is none
        "minutes since the session began": 6,
        "minutes since the last event": 1,
        "sessions before": 0,
        "events, the session before": 0,
    }
    assert {name: np.expm1(found[name]) for name in expected} == pytest.approx(expected, abs=1e-5)
    assert found["spread of log prices, this session"] == pytest.approx(1.0)  # of 0 and 2


def test_after_a_pause_it_is_the_session_before():
    at_once, later = told(VISIT, 5 + 30), told(VISIT, 5 + 30 + 0.001)
    assert np.expm1(at_once["events, this session"]) == pytest.approx(5)
    assert later["events, this session"] == 0
    assert later["spread of log prices, this session"] == 0
    assert np.expm1(later["events, the session before"]) == pytest.approx(5)
    assert np.expm1(later["returns, the session before"]) == pytest.approx(1)
    assert np.expm1(later["sessions before"]) == pytest.approx(1)
    assert later["share of sessions before with a search"] == 1
    assert later["share of sessions before with a purchase"] == 0
    assert np.expm1(later["distinct items of a session before, on average"]) == pytest.approx(2)
    assert np.expm1(later["days since the last purchase"]) == pytest.approx(365)


def test_habits_are_of_finished_sessions_alone():
    events = history((0, "view", 0), (100, "purchase", 2), (200, "purchase", 1), (201, "view", 0))
    found = told(events, 202)
    assert np.expm1(found["sessions before"]) == pytest.approx(2)
    assert found["share of sessions before with a purchase"] == 0.5  # the third is going on
    assert np.expm1(found["days since the session before"]) == pytest.approx(102 * MINUTE / DAY, abs=1e-5)
    assert np.expm1(found["days since the last purchase"]) == pytest.approx(2 * MINUTE / DAY, abs=1e-6)


def test_the_query_asked_is_told():
    nothing, same, another, first = (
        told(VISIT, 6), told(VISIT, 6, 4, 2.0), told(VISIT, 6, 5, 3.0), told(VISIT, 600, 5, 3.0),
    )  # fmt: skip
    names = ("a query is asked", "the query is another than the one before")
    assert [tuple(found[name] for name in names) for found in (nothing, same, another, first)] == [
        (0, 0), (1, 0), (1, 1), (1, 0),
    ]  # fmt: skip
    assert np.expm1(another["words of the query"]) == pytest.approx(3)


def test_somebody_without_events_and_items_without_facts_have_a_rule():
    empty = told(history(), 0)
    assert np.expm1(empty["days since the session before"]) == pytest.approx(365)
    assert {value for name, value in empty.items() if "days" not in name} == {0}
    unknown = told(history((0, "view", 2), (1, "view", 3), (2, "view", 0)), 3)
    assert unknown["spread of log prices, this session"] == pytest.approx(np.log(5) / 2)  # of 5 and 1: one has no price
    assert np.expm1(unknown["distinct leaf categories, this session"]) == pytest.approx(2)  # one has no category


@pytest.mark.parametrize(
    ("text", "words"), [("", 0), ("red shoes", 2), ("红色 鞋子", 2), ("nike 鞋子", 2), ("nike鞋子", 2), ("  x ", 1)]
)
def test_two_chinese_characters_are_a_word(text, words):
    assert query_words(text) == words


steps = st.lists(
    st.tuples(st.integers(0, 80), st.sampled_from(["view", "search", "cart", "purchase"]), st.integers(0, 3)),
    max_size=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(steps=steps, later=st.integers(0, 60))
def test_nothing_after_the_moment_counts_and_nothing_is_out_of_bounds(steps, later):
    minutes = np.cumsum([step[0] for step in steps])
    rows = [
        (minute, action, NO_ITEM if action == "search" else item)
        for minute, (_, action, item) in zip(minutes, steps, strict=True)
    ]
    events = history(*rows)
    moment = (int(events.time[-1]) if len(events) else 0) + later * MINUTE + 1
    found = session_statistics(events, moment, NO_QUERY, 0.0, FACTS)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    # Whatever lies further back than the reach changes nothing.
    far = history(*[(-100 * (REACH - n), "view", 0) for n in range(REACH)], *rows)
    assert len(rows) < REACH
    longer = session_statistics(far, moment, NO_QUERY, 0.0, FACTS)
    names = [n for n, name in enumerate(STATISTICS) if "this session" in name]
    np.testing.assert_array_equal(found[names], longer[names])


def test_moments_of_a_log_are_counted_as_single_ones(histories_of):
    histories = histories_of(
        [(0, -1, "search", 0, 0, 1), (0, 1, "view", MINUTE, 0), (1, 2, "view", 0, 1), (1, 3, "purchase", MINUTE, 1)]
    )
    sessions = LoggedSessions(FACTS, np.array([3.0, 2.0], dtype=np.float32))
    found = sessions.statistics(
        histories, np.array([0, 1]), np.array([1, 4]), np.array([1, 2 * MINUTE]), np.array([1, NO_QUERY])
    )
    np.testing.assert_array_equal(found[0], session_statistics(histories.events(0, 1), 1, 1, 2.0, FACTS))
    np.testing.assert_array_equal(
        found[1], session_statistics(histories.events(1, 4), 2 * MINUTE, NO_QUERY, 0.0, FACTS)
    )
