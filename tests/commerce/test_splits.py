import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce.columns import DAY
from commerce.splits import WINDOWS, ends_before, share_by_hash, split_by_last, split_by_time
from configs.errors import InputError

# The time split in six rows: a log of ten days, the last three windows one day each. The log's last event is at the
# end of day 9, so the test window is the day up to it, validation the day before, ranker the day before that.
#
#   user  day    window
#   0     1.0    towers
#   0     6.9    towers
#   0     7.5    ranker
#   1     8.5    validation
#   1     9.5    test
#   1     10.0   test (the log's last event: the window ends just after it)
SIX_ROWS = [
    (0, 10, "purchase", int(1.0 * DAY), 0),
    (0, 11, "purchase", int(6.9 * DAY), 1),
    (0, 12, "purchase", int(7.5 * DAY), 2),
    (1, 10, "purchase", int(8.5 * DAY), 3),
    (1, 11, "purchase", int(9.5 * DAY), 4),
    (1, 12, "purchase", int(10.0 * DAY), 5),
]


def test_the_time_split_of_six_rows(histories_of):
    histories = histories_of(SIX_ROWS)
    split = split_by_time(histories, last=10 * DAY, days=(1, 1, 1))
    assert [split.starts[name] for name in WINDOWS] == [7 * DAY + 1, 8 * DAY + 1, 9 * DAY + 1]
    assert split.window_of(histories).tolist() == [-1, -1, 0, 1, 2, 2]
    # User 0 may be trained on up to position 2; user 1 has nothing before the ranker window.
    assert {name: cut.tolist() for name, cut in split.cuts.items()} == {
        "ranker": [2, 3],
        "validation": [3, 3],
        "test": [3, 4],
    }


def test_windows_that_leave_nothing_for_the_towers_are_refused(histories_of):
    with pytest.raises(InputError, match=r"spans 9\.0 days, but .* take 10; shorten prepare\.ranker_days"):
        split_by_time(histories_of(SIX_ROWS), last=10 * DAY, days=(3, 3, 4))


def purchases(times_by_user):
    return [(user, 100 + n, "purchase", t, 0) for user, times in enumerate(times_by_user) for n, t in enumerate(times)]


def held_out(histories, moments):
    """Window -> user -> time of the moment."""
    rows = zip(moments.window.tolist(), moments.user.tolist(), moments.time.tolist(), strict=True)
    return {(WINDOWS[window], user): time for window, user, time in rows}


def test_leave_last_out_takes_one_group_per_window_from_the_end(histories_of):
    histories = histories_of(purchases([[1, 2, 3, 4, 5], [1, 2, 3, 4, 5]]))
    split, moments = split_by_last(histories, np.ones(10, dtype=bool), gives_ranker=np.array([True, False]))
    assert held_out(histories, moments) == {
        ("ranker", 0): 3,
        ("validation", 0): 4,
        ("validation", 1): 4,
        ("test", 0): 5,
        ("test", 1): 5,
    }
    # User 0's third-last event is withheld from the towers; user 1's is trained on.
    assert split.cuts["ranker"].tolist() == [2, 8]
    assert split.cuts["validation"].tolist() == [3, 8]
    assert split.cuts["test"].tolist() == [4, 9]


def test_users_too_short_for_a_window_give_none(histories_of):
    histories = histories_of(purchases([[1], [1, 2], [1, 2, 3]]), users=4)
    split, moments = split_by_last(histories, np.ones(6, dtype=bool), gives_ranker=np.ones(4, dtype=bool))
    assert held_out(histories, moments) == {("test", 1): 2, ("test", 2): 3, ("validation", 2): 2}
    # The one event of user 0 is trained on, and user 3, without any, is still there.
    assert split.cuts["ranker"].tolist() == [1, 2, 4, 6]


def test_a_basket_is_left_out_as_a_whole(histories_of):
    histories = histories_of([(0, item, "purchase", time, 0) for item, time in [(1, 1), (2, 5), (3, 5), (4, 5)]])
    split, moments = split_by_last(histories, np.ones(4, dtype=bool), gives_ranker=np.array([False]))
    assert held_out(histories, moments) == {("test", 0): 5}
    assert split.cuts["test"].tolist() == [1]


def test_views_after_the_last_purchase_do_not_move_it(histories_of):
    histories = histories_of([(0, 1, "purchase", 1, 0), (0, 2, "purchase", 2, 0), (0, 3, "view", 3, 0)])
    _, moments = split_by_last(histories, histories.action == 5, gives_ranker=np.array([False]))
    assert held_out(histories, moments) == {("test", 0): 2}


logs = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.sampled_from(["view", "purchase"]), st.integers(0, 40)),
    min_size=1,
    max_size=40,
).map(lambda rows: [(*row, 0) for row in rows])


def check_windows(histories, split):
    """No event in two windows, windows in order, no group on both sides of a cut."""
    bounds = np.stack([histories.offsets[:-1], *(split.cuts[name] for name in WINDOWS), histories.offsets[1:]])
    assert (np.diff(bounds, axis=0) >= 0).all()
    window = split.window_of(histories)
    for user in range(histories.users):
        span = slice(histories.offsets[user], histories.offsets[user + 1])
        assert (np.diff(window[span]) >= 0).all()
        for time in np.unique(histories.time[span]):
            assert len(np.unique(window[span][histories.time[span] == time])) == 1


@given(rows=logs, days=st.tuples(*[st.integers(1, 9)] * 3))
@settings(max_examples=60, deadline=None)
def test_time_windows_part_every_log_cleanly(histories_of, rows, days):
    histories = histories_of(rows, users=4)
    last = int(histories.time.max())
    tenths = [length * 1.0 / DAY for length in days]
    if last + 1 - sum(days) <= histories.time.min():
        with pytest.raises(InputError):
            split_by_time(histories, last, tenths)
        return
    split = split_by_time(histories, last, tenths)
    check_windows(histories, split)
    for name in WINDOWS:
        for user, cut in enumerate(split.cuts[name]):
            assert (histories.time[histories.offsets[user] : cut] < split.starts[name]).all()
            assert (histories.time[cut : histories.offsets[user + 1]] >= split.starts[name]).all()


@given(rows=logs, gives=st.lists(st.booleans(), min_size=4, max_size=4))
@settings(max_examples=60, deadline=None)
def test_leave_last_out_parts_every_log_cleanly(histories_of, rows, gives):
    histories = histories_of(rows, users=4)
    split, moments = split_by_last(histories, histories.action == 5, np.array(gives))
    check_windows(histories, split)
    for (name, user), time in held_out(histories, moments).items():
        cut = split.cuts[name][user]
        assert histories.time[cut] == time  # the held-out group begins where the visible events end
        assert cut > histories.offsets[user]  # and something is visible


@given(rows=logs, moment=st.integers(-1, 41))
@settings(max_examples=40, deadline=None)
def test_ends_before_agrees_with_the_histories_own_search(histories_of, rows, moment):
    histories = histories_of(rows, users=4)
    ends = ends_before(histories, np.arange(4), np.full(4, moment))
    assert ends.tolist() == [histories.end_before(user, moment) for user in range(4)]


def test_shares_by_hash_are_stable_and_near_what_was_asked():
    ids = [f"user {number}" for number in range(10_000)]
    chosen = share_by_hash(ids, seed=0, purpose="fit", share=0.2)
    assert 0.18 < chosen.mean() < 0.22
    assert (share_by_hash(ids[::-1], 0, "fit", 0.2)[::-1] == chosen).all()  # by id, not by place
    other = share_by_hash(ids, seed=0, purpose="ranker", share=0.2)
    assert 0.02 < (chosen & other).mean() < 0.06  # independent: about 0.2 * 0.2
    assert share_by_hash(ids, 0, "fit", 1.0).all()
