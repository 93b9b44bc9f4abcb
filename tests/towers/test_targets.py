import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce.columns import ACTION_CODES, NO_QUERY
from commerce.histories import Histories
from towers.batches import BatchMaker
from towers.masks import Equivalents
from towers.pool import PoolPlan, popularity_chances
from towers.targets import Targets
from towers.windows import WindowPlan

# Two baskets (hours 2 and 5) after a view; user 1 has one purchase.
USERS = (
    [(1, "view", 10), (2, "purchase", 11), (2, "purchase", 12), (3, "view", 13), (5, "purchase", 14), (5, "cart", 15)],
    [(1, "purchase", 16), (9, "view", 17)],
)


def test_a_state_foretells_the_next_strictly_later_group_that_holds_a_target(lay):
    histories = lay(*USERS)
    targets = Targets.of(histories, histories.offsets[1:], {"purchase": 1.0})
    position = np.arange(8)
    user = np.repeat([0, 1], [6, 2]).astype(np.int32)
    first = targets.next_group(position, user, histories.time)
    foretold = [set() if n < 0 else _group(targets, n) for n in first]
    # Neither item of the first basket foretells the other; nothing follows the last basket, nor user 1's purchase.
    assert foretold == [{11, 12}, {14}, {14}, {14}, set(), set(), set(), set()]


def test_the_state_before_any_event_foretells_the_first_basket(lay):
    histories = lay(*USERS)
    targets = Targets.of(histories, histories.offsets[1:], {"purchase": 1.0})
    first = targets.first_from(np.array([0, 6]), np.array([0, 1], dtype=np.int32))
    assert [_group(targets, n) for n in first] == [{11, 12}, {16}]


def test_nothing_at_or_after_the_cut_is_a_target(lay):
    histories = lay(*USERS)
    targets = Targets.of(histories, np.array([4, 6]), {"purchase": 1.0, "cart": 0.5})
    assert targets.item.tolist() == [11, 12]


def test_actions_weigh_as_the_settings_say(lay):
    histories = lay(*USERS)
    targets = Targets.of(histories, histories.offsets[1:], {"purchase": 1.0, "cart": 0.5})
    assert dict(zip(targets.item.tolist(), targets.weight.tolist(), strict=True)) == {
        11: 1.0,
        12: 1.0,
        14: 1.0,
        15: 0.5,
        16: 1.0,
    }


def test_every_item_of_the_next_basket_is_drawn_equally_often(lay):
    histories = lay(*USERS)
    targets = Targets.of(histories, histories.offsets[1:], {"purchase": 1.0})
    drawn = targets.draw(np.zeros(4000, dtype=np.int64), np.random.default_rng(0))
    share = np.bincount(targets.item[drawn], minlength=18) / 4000
    assert share[11] == pytest.approx(0.5, abs=0.03)
    assert share[12] == pytest.approx(0.5, abs=0.03)


def test_shares_count_what_a_pass_over_all_events_draws(lay):
    histories = lay(*USERS)
    targets = Targets.of(histories, histories.offsets[1:], {"purchase": 1.0})
    # After position 0 come 11 and 12, after the group of 1 and 2 comes 14, and after 3 too. The state before any event
    # foretells one of the first basket, and 16, which no other state does.
    begins, ends = histories.offsets[:-1], histories.offsets[1:]
    shares = targets.shares(18, histories, begins, ends)
    assert {item: shares[item] for item in np.flatnonzero(shares)} == pytest.approx(
        {11: 1.5 / 6, 12: 1.5 / 6, 14: 2 / 6, 16: 1 / 6}
    )
    # Read from position 1 on, only the state before any event draws the first basket.
    later = targets.shares(18, histories, np.array([1, 6]), ends)
    assert {item: later[item] for item in np.flatnonzero(later)} == pytest.approx(
        {11: 0.5 / 4, 12: 0.5 / 4, 14: 2 / 4, 16: 1 / 4}
    )


@given(seed=st.integers(0, 10_000), length=st.integers(1, 8))
def test_whatever_a_batch_draws_has_a_share(seed, length):
    """Else a pool without uniform draws would be corrected by the logarithm of 0."""
    random = np.random.default_rng(seed)
    counts = random.integers(1, 12, 5)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    histories = Histories(
        offsets=offsets,
        item=random.integers(0, 30, offsets[-1]).astype(np.int32),
        action=np.full(offsets[-1], ACTION_CODES["purchase"], dtype=np.uint8),
        time=np.concatenate([np.sort(random.integers(0, 6, count)) for count in counts]),
        query=np.full(offsets[-1], NO_QUERY, dtype=np.int32),
        session=np.zeros(offsets[-1], dtype=np.int64),
    )
    starts, cuts = offsets[:-1], offsets[1:]
    targets = Targets.of(histories, cuts, {"purchase": 1.0})
    shares = targets.shares(30, histories, starts, cuts)
    nothing = np.zeros(0, dtype=np.int64)
    pool = PoolPlan(30, False, 1000, 0, 0, popularity_chances(shares, 0.5))
    maker = BatchMaker(histories, targets, Equivalents.of(nothing, nothing, 30), pool)
    plan = WindowPlan(np.arange(5, dtype=np.int32), starts, cuts, length, 5, seed)
    for epoch in range(3):
        batch = maker.make(plan.windows(epoch), random)
        assert (shares[batch.pool.numpy()] > 0).all()


def _group(targets, first):
    return set(targets.item[targets.group_start[first] : targets.group_stop[first]].tolist())


def test_what_a_user_had_before_can_weigh_less_or_be_left_out(lay):
    # Item 1 comes twice at once, then again; item 2 once.
    histories = lay(
        [(1, "purchase", 1), (1, "purchase", 1), (2, "purchase", 1), (2, "purchase", 2)], [(9, "purchase", 1)]
    )
    half = Targets.of(histories, histories.offsets[1:], {"purchase": 1.0}, repeats=0.5)
    assert half.weight.tolist() == [1.0, 1.0, 0.5, 1.0, 1.0]
    none = Targets.of(histories, histories.offsets[1:], {"purchase": 1.0}, repeats=0.0)
    assert none.position.tolist() == [0, 1, 3, 4]


def test_old_targets_are_left_out_but_still_make_later_ones_repeats(lay):
    histories = lay([(1, "purchase", 1), (5, "purchase", 1), (6, "purchase", 2)])
    late = Targets.of(histories, histories.offsets[1:], {"purchase": 1.0}, repeats=0.5, since=int(histories.time[1]))
    assert dict(zip(late.item.tolist(), late.weight.tolist(), strict=True)) == {1: 0.5, 2: 1.0}
