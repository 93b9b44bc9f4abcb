import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from towers.windows import WindowPlan


def _plan(lengths, length=4, batch=3, seed=0):
    ends = np.cumsum(lengths)
    users = np.arange(len(lengths), dtype=np.int32)
    return WindowPlan(users, (ends - lengths).astype(np.int64), ends.astype(np.int64), length, batch, seed)


def test_a_short_history_is_one_window_and_a_long_one_several():
    windows = _plan(np.array([3, 10])).windows(epoch=0)
    assert windows.user.tolist() == [0, 1, 1, 1]  # 10 events in windows of 4: three
    assert (windows.start[0], windows.stop[0]) == (0, 3)
    assert (windows.stop - windows.start).tolist() == [3, 4, 4, 4]


def test_windows_of_a_long_history_move_between_epochs_but_their_number_stays():
    plan = _plan(np.array([100]))
    starts = [plan.windows(epoch).start.tolist() for epoch in range(5)]
    assert len({tuple(one) for one in starts}) == 5
    assert {len(one) for one in starts} == {25}


def test_an_epoch_follows_from_seed_and_number_alone():
    one, two = (_plan(np.array([5, 9, 2, 7, 1])).batches(epoch=3) for _ in range(2))
    assert [batch.start.tolist() for batch in one] == [batch.start.tolist() for batch in two]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(0, 3))
def test_every_window_comes_once_and_stays_inside_its_history(lengths, epoch):
    plan = _plan(np.array(lengths))
    batches = plan.batches(epoch)
    assert len(batches) == plan.steps
    assert sum(map(len, batches)) == plan.counts.sum()
    for batch in batches:
        assert (batch.start >= plan.start[batch.user]).all()
        assert (batch.stop <= plan.stop[batch.user]).all()
        assert (batch.stop - batch.start == np.minimum(plan.length, (plan.stop - plan.start)[batch.user])).all()
