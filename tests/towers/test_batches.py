from dataclasses import replace

import numpy as np
import pytest

from towers.batches import BatchMaker
from towers.lessons import Lessons
from towers.masks import Equivalents
from towers.pool import PoolPlan
from towers.targets import Targets
from towers.windows import Windows

BASKETS = [(1, "purchase", 1), (1, "purchase", 2), (1, "purchase", 3), (4, "search", 0), (4.5, "purchase", 5)]
ITEMS = 8


@pytest.fixture
def maker(lay):
    def _maker(*users, exact=False, uniform=2):
        histories = lay(*users)
        targets = Targets.of(histories, histories.offsets[1:], {"purchase": 1.0})
        nothing = np.zeros(0, dtype=np.int64)
        pool = PoolPlan(ITEMS, exact, most_targets=4, uniform=uniform)
        return BatchMaker(histories, targets, Equivalents.of(nothing, nothing, ITEMS), pool)

    return _maker


def _whole(*lengths):
    ends = np.cumsum(lengths)
    return Windows(np.arange(len(lengths), dtype=np.int32), ends - lengths, ends)


def test_a_target_never_stands_in_the_events_that_foretell_it(maker):
    for seed in range(20):
        batch = maker(BASKETS, BASKETS[::-1][:2][::-1]).make(_whole(5, 2), np.random.default_rng(seed))
        for row, place, target in zip(batch.row, batch.place, batch.encoded[batch.target], strict=True):
            read = {int(batch.encoded[n - 1]) for n in batch.item[row, :place] if n > 0}
            assert int(target) not in read


def test_items_of_a_basket_come_in_every_order_and_later_events_stay_behind(maker):
    orders = set()
    for seed in range(40):
        batch = maker(BASKETS).make(_whole(5), np.random.default_rng(seed))
        items = [int(batch.encoded[n - 1]) if n > 0 else None for n in batch.item[0]]
        orders.add(tuple(items[:3]))
        assert items[3:] == [None, 5]
    assert len(orders) == 6


def test_a_search_is_read_by_its_query_and_not_by_an_item(maker):
    batch = maker(BASKETS).make(_whole(5), np.random.default_rng(0))
    assert batch.asked.tolist() == [0]
    assert batch.query.tolist() == [[0, 0, 0, 1, 0]]
    assert batch.action.tolist() == [[6, 6, 6, 1, 6]]
    assert batch.gap[0, 3].item() == pytest.approx(np.log1p(3))


def test_a_users_other_choices_are_named_and_nobody_elses(maker):
    batch = maker(BASKETS, [(1, "purchase", 6), (2, "purchase", 7)]).make(_whole(5, 2), np.random.default_rng(0))
    others = {user: {int(item) for owner, item in batch.others if owner == user} for user in (0, 1)}
    assert others == {0: {1, 2, 3, 5}, 1: {6, 7}}


def test_a_pool_is_distinct_and_holds_the_targets(maker):
    batch = maker(BASKETS).make(_whole(5), np.random.default_rng(0))
    pool = batch.pool.tolist()
    assert pool == sorted(set(pool))
    assert set(batch.encoded[batch.target].tolist()) <= set(pool)
    assert int(batch.drawn) == min(4, len(batch.target))


def test_the_exact_pool_is_the_catalogue(maker):
    batch = maker(BASKETS, exact=True).make(_whole(5), np.random.default_rng(0))
    assert batch.pool.tolist() == batch.encoded.tolist() == list(range(ITEMS))


def test_each_item_of_a_basket_counts_once_whatever_came_before_it(maker):
    # A basket of three, then one of two, then one of one: what is foretold does not hang on how full a basket was.
    baskets = [(1, "purchase", n) for n in (1, 2, 3)] + [(2, "purchase", n) for n in (4, 5)] + [(3, "purchase", 6)]
    batch = maker(baskets).make(_whole(6), np.random.default_rng(0))
    rows = sorted(zip(batch.place.tolist(), batch.encoded[batch.target].tolist(), strict=True))
    # Before any event one of the first basket; after it the two of the second; after that the one of the third.
    assert rows[0][0] == 0
    assert rows[0][1] in {1, 2, 3}
    assert rows[1:] == [(3, 4), (3, 5), (5, 6)]


def test_a_state_before_a_search_foretells_what_follows_the_search_too(maker):
    batch = maker(BASKETS).make(_whole(5), np.random.default_rng(0))
    rows = set(zip(batch.place.tolist(), batch.encoded[batch.target].tolist(), strict=True))
    assert {(3, 5), (4, 5)} <= rows


def _taught(maker, *positions):
    """A lesson of two items before each of some target events: 6 before 7, and the teacher likes 7 better."""
    items = np.tile(np.array([[6, 7]], np.int32), (len(positions), 1))
    scores = np.tile(np.array([[0.0, 1.5]], np.float32), (len(positions), 1))
    return replace(maker, lessons=Lessons(np.array(positions), items, scores))


def test_a_lesson_is_for_the_state_that_has_seen_all_that_came_before_its_target(maker):
    # The states before the search, after it, and before any event all foretell the purchase; only the second is asked.
    batch = _taught(maker(BASKETS), 4).make(_whole(5), np.random.default_rng(0))
    assert [(int(batch.place[row]), int(batch.encoded[batch.target[row]])) for row in batch.pupil] == [(4, 5)]
    assert batch.encoded[batch.taught - 1].tolist() == [[6, 7]]
    assert batch.lesson.tolist() == [[0.0, 1.5]]


def test_the_first_choice_of_a_history_has_no_lesson(maker):
    for seed in range(10):
        batch = _taught(maker(BASKETS), 0, 1, 2).make(_whole(5), np.random.default_rng(seed))
        assert batch.taught.shape == (0, 2)


def test_parts_keep_the_lessons_of_their_users(maker):
    batch = _taught(maker(BASKETS, BASKETS, BASKETS), 4, 14).make(_whole(5, 5, 5), np.random.default_rng(0))
    parts = list(batch.parts(2))
    assert [len(part.pupil) for part in parts] == [1, 1]
    for part in parts:
        assert part.encoded[part.target[part.pupil]].tolist() == [5]
        assert part.place[part.pupil].tolist() == [4]
    assert [int(part.row[part.pupil]) for part in parts] == [0, 0]
