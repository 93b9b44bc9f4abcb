import ibis
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce.columns import ACTION_CODES
from commerce.requests import lay_requests, only_available, rolling_moments, single_moments
from commerce.splits import WINDOWS, Split, split_by_last, split_by_time
from commerce.warehouse import open_warehouse

GAINS = {name: {"purchase": 1.0, "cart": 0.5} for name in WINDOWS}
START = {"ranker": 100, "validation": 200, "test": 300}


def split_at(histories, starts=START):
    from commerce.splits import ends_before

    users = np.arange(histories.users)
    return Split(
        {name: ends_before(histories, users, np.full(len(users), start)) for name, start in starts.items()}, starts
    )


def lay(histories, rolling=False, gains=GAINS, halves=None, warehouse=None):
    split = split_at(histories)
    moments = (
        rolling_moments(events_of(histories, warehouse), split) if rolling else single_moments(split, histories.users)
    )
    halves = np.zeros(histories.users, dtype=bool) if halves is None else halves
    return lay_requests(histories, split, moments, gains, halves, rolling=rolling)


def events_of(histories, warehouse):
    """The histories as the table that the log is."""
    import pyarrow as pa

    size = len(histories.time)
    user = np.repeat(np.arange(histories.users, dtype=np.int32), np.diff(histories.offsets))
    columns = {"user": user, "row": np.arange(size)}
    columns |= {name: np.asarray(getattr(histories, name)) for name in ("item", "action", "time", "query", "session")}
    return warehouse.create_table(ibis.util.gen_name("log"), pa.table(columns))


def asked(requests):
    return [
        (requests.window[row], requests.user[row].item(), requests.time[row].item(), requests.relevant(row)[0].tolist())
        for row in range(len(requests))
    ]


def test_single_asks_once_per_user_at_the_start_of_a_window(histories_of):
    histories = histories_of(
        [
            (0, 1, "purchase", 10, 0),
            (0, 2, "purchase", 150, 0),
            (0, 3, "view", 160, 0),
            (0, 2, "purchase", 170, 0),
            (0, 4, "purchase", 200, 0),  # at the start of validation: not visible to it, so it counts
            (1, 5, "purchase", 350, 0),
        ]
    )
    requests = lay(histories)
    # Item 2, bought twice, counts once; user 1 has nothing before and is still asked for.
    assert asked(requests) == [("ranker", 0, 100, [2]), ("validation", 0, 200, [4]), ("test", 1, 300, [5])]
    assert requests.history_end.tolist() == [1, 4, 5]
    assert requests.query.tolist() == [-1, -1, -1]


def test_the_largest_gain_counts_where_two_actions_met_one_item(histories_of):
    histories = histories_of([(0, 1, "cart", 310, 0), (0, 2, "cart", 320, 0), (0, 1, "purchase", 330, 0)])
    requests = lay(histories)
    assert requests.items.tolist() == [1, 2]
    assert requests.gains.tolist() == [1.0, 0.5]


def test_windows_may_have_gains_of_their_own(histories_of):
    histories = histories_of([(0, 1, "cart", 110, 0), (0, 2, "cart", 310, 0)])
    gains = {**GAINS, "test": {"purchase": 1.0}}
    assert asked(lay(histories, gains=gains)) == [("ranker", 0, 100, [1])]


def test_validation_users_are_halved(histories_of):
    histories = histories_of([(user, 1, "purchase", time, 0) for user in (0, 1) for time in (210, 310)])
    requests = lay(histories, halves=np.array([True, False]))
    assert requests.half.tolist() == ["fit", "gate", "", ""]


def test_rolling_asks_at_each_session_start_and_each_search(histories_of, warehouse):
    histories = histories_of(
        [
            (0, 1, "view", 310, 7),
            (0, 2, "purchase", 320, 7),
            (0, -1, "search", 330, 7, 4),
            (0, 3, "purchase", 340, 7),
            (0, 4, "purchase", 350, 8),  # a session of one event: nothing comes after its start
        ]
    )
    requests = lay(histories, rolling=True, warehouse=warehouse)
    # The session's start knows nothing of the search; what follows the search belongs to the search alone.
    assert asked(requests) == [("test", 0, 310, [2]), ("test", 0, 330, [3])]
    assert requests.query.tolist() == [-1, 4]
    assert requests.history_end.tolist() == [0, 2]  # the search itself is not in the visible history
    assert requests.session.tolist() == [7, 7]


def test_a_session_that_begins_with_a_search_is_asked_once(histories_of, warehouse):
    histories = histories_of([(0, -1, "search", 310, 7, 4), (0, 2, "cart", 320, 7)])
    requests = lay(histories, rolling=True, warehouse=warehouse)
    assert asked(requests) == [("test", 0, 310, [2])]
    assert requests.query.tolist() == [4]


def test_a_rolling_request_counts_no_event_of_another_session_or_window(histories_of, warehouse):
    histories = histories_of(
        [
            (0, 1, "view", 290, 7),
            (0, 2, "purchase", 305, 7),  # the session goes on, but the validation window has ended
            (0, 3, "view", 310, 8),
            (0, 4, "purchase", 320, 9),
        ]
    )
    assert asked(lay(histories, rolling=True, warehouse=warehouse)) == []


def test_an_event_at_the_next_search_belongs_to_the_request_before(histories_of, warehouse):
    histories = histories_of([(0, 1, "view", 310, 7), (0, -1, "search", 320, 7, 1), (0, 2, "purchase", 320, 7)])
    assert asked(lay(histories, rolling=True, warehouse=warehouse)) == [("test", 0, 310, [2])]


def test_items_that_could_not_be_shown_do_not_count(histories_of):
    histories = histories_of([(0, 0, "purchase", 310, 0), (0, 1, "purchase", 320, 0), (1, 1, "purchase", 330, 0)])
    opens, closes = np.array([0, 315]), np.array([10**9, 10**9])  # item 1 comes after the window's start
    requests, left_out = only_available(lay(histories), opens, closes)
    assert asked(requests) == [("test", 0, 300, [0])]
    assert left_out == 2
    assert requests.request_id.tolist() == [0]


rows = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 4),
        st.sampled_from(["view", "cart", "purchase"]),
        st.integers(0, 399),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=40,
).map(lambda log: [(user, item, action, time, 10 * user + session) for user, item, action, time, session in log])


def check_requests(histories, split, requests):
    """Nothing visible at or after the moment, and nothing relevant before it."""
    for row in range(len(requests)):
        user, moment = int(requests.user[row]), int(requests.time[row])
        visible = histories.events(user, requests.history_end[row])
        assert (visible.time < moment).all()
        hidden = slice(int(requests.history_end[row]), int(histories.offsets[user + 1]))
        assert (histories.time[hidden] >= moment).all()
        inside = split.window_of(histories)[hidden] == WINDOWS.index(requests.window[row])
        targets = np.isin(histories.action[hidden], [ACTION_CODES["cart"], ACTION_CODES["purchase"]])
        items, gains = requests.relevant(row)
        assert len(items) == len(set(items.tolist())) > 0
        assert (gains > 0).all()
        assert set(items.tolist()) <= set(histories.item[hidden][inside & targets].tolist())


@given(log=rows)
@settings(max_examples=60, deadline=None)
def test_nothing_at_or_after_the_moment_is_visible_with_one_request_per_window(histories_of, log):
    histories = histories_of(log, users=3)
    requests = lay(histories)
    check_requests(histories, split_at(histories), requests)
    # Every user's every bought item is somebody's answer: once per window.
    wanted = {
        (int(window), row[0], row[1])
        for row, window in zip(
            sorted(log, key=lambda row: (row[0], row[3])), split_at(histories).window_of(histories), strict=True
        )
        if window >= 0 and row[2] != "view"
    }
    got = {(WINDOWS.index(window), user, item) for window, user, _, items in asked(requests) for item in items}
    assert got == wanted


@pytest.fixture(scope="module")
def shared_warehouse():
    opened = open_warehouse(threads=1)
    yield opened
    opened.disconnect()


@given(log=rows)
@settings(max_examples=25, deadline=None)
def test_nothing_at_or_after_the_moment_is_visible_when_rolling(histories_of, shared_warehouse, log):
    histories = histories_of(log, users=3)
    check_requests(histories, split_at(histories), lay(histories, rolling=True, warehouse=shared_warehouse))


@given(log=rows)
@settings(max_examples=40, deadline=None)
def test_nothing_at_or_after_the_moment_is_visible_with_the_last_left_out(histories_of, log):
    histories = histories_of(log, users=3)
    targets = np.isin(histories.action, [ACTION_CODES["cart"], ACTION_CODES["purchase"]])
    split, moments = split_by_last(histories, targets, np.array([True, False, True]))
    requests = lay_requests(histories, split, moments, GAINS, np.zeros(3, dtype=bool), rolling=False)
    check_requests(histories, split, requests)
    assert len(requests) == len(moments.user)  # none is dropped


def test_a_time_split_reads_into_requests_end_to_end(histories_of):
    from commerce.columns import DAY

    histories = histories_of([(0, 1, "purchase", 0, 0), (0, 2, "purchase", 10 * DAY, 0)])
    split = split_by_time(histories, 10 * DAY, (1, 1, 1))
    requests = lay_requests(histories, split, single_moments(split, 1), GAINS, np.zeros(1, dtype=bool), rolling=False)
    assert asked(requests) == [("test", 0, 9 * DAY + 1, [2])]
