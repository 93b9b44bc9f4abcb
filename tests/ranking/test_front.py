"""Which point is chosen: numbers of six requests, each of its own user, that can be checked by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking.front import BLENDED, Point, Shape, choose_point

CHEAP, MIDDLE, DEAR = Point("context_once", 1, 10), Point("context_once", 2, 20), Point("full", 3, 50)
COSTS = {BLENDED: 0.0, CHEAP: 1.0, MIDDLE: 4.0, DEAR: 90.0}
USERS = np.arange(6)


def chosen(ndcg, costs=COSTS, users=USERS):
    values = {point: np.array(numbers, dtype=np.float64) for point, numbers in ndcg.items()}
    return choose_point(values, costs, users, resamples=200, confidence=0.95, seed=0)


def test_the_cheapest_that_is_as_good_as_the_best_is_chosen():
    # The middle one is as often above the best as below it; the cheap one loses .3 everywhere.
    front = chosen(
        {
            BLENDED: [0.1] * 6,
            CHEAP: [0.3] * 6,
            MIDDLE: [0.5, 0.7, 0.5, 0.7, 0.5, 0.68],
            DEAR: [0.6] * 6,
        }
    )
    assert (front.best, front.choice) == (DEAR, MIDDLE)
    assert front.standings[MIDDLE].minus_best.value == pytest.approx(-0.02 / 6)
    assert front.standings[CHEAP].minus_best.high == pytest.approx(-0.3)
    assert [point for point, standing in front.standings.items() if standing.as_good] == [MIDDLE, DEAR]


def test_a_best_point_that_everything_cheaper_loses_to_is_chosen_itself():
    front = chosen({BLENDED: [0.1] * 6, CHEAP: [0.3] * 6, MIDDLE: [0.4] * 6, DEAR: [0.6] * 6})
    assert front.choice == front.best == DEAR


def test_where_the_blended_order_is_as_good_nothing_is_re_ordered():
    front = chosen({BLENDED: [0.5, 0.6] * 3, CHEAP: [0.6, 0.5] * 3, MIDDLE: [0.5] * 6, DEAR: [0.56] * 6})
    assert (front.best, front.choice) == (DEAR, BLENDED)


def test_of_equals_the_cheapest_is_the_best_and_beats_the_others():
    front = chosen({BLENDED: [0.1] * 6, CHEAP: [0.4] * 6, MIDDLE: [0.4] * 6, DEAR: [0.4] * 6})
    assert front.best == front.choice == CHEAP
    assert {point: standing.unbeaten for point, standing in front.standings.items()} == {
        BLENDED: True,  # nothing is as cheap
        CHEAP: True,
        MIDDLE: False,
        DEAR: False,
    }


def test_users_count_not_requests():
    # All that speaks against the cheap one comes from one user's three requests: that may be chance.
    ndcg = {CHEAP: [0.0, 0.0, 0.0, 0.5, 0.6, 0.55], DEAR: [0.6, 0.6, 0.6, 0.5, 0.5, 0.5]}
    of_one_user = np.array([0, 0, 0, 1, 2, 3])
    assert chosen(ndcg, users=of_one_user).choice == CHEAP


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=8, max_size=8), st.permutations(range(4)))
def test_the_choice_is_as_good_as_the_best_and_nothing_cheaper_is(numbers, order):
    points = [BLENDED, CHEAP, MIDDLE, DEAR]
    columns = np.array(numbers)
    front = chosen({points[place]: columns[:, place] for place in order}, users=np.arange(8))
    cheaper = [point for point in points if COSTS[point] < COSTS[front.choice]]
    assert front.standings[front.choice].as_good
    assert not any(front.standings[point].as_good for point in cheaper)
    assert front.standings[front.best].unbeaten


def test_a_point_tells_what_is_trained():
    assert DEAR.shape == Shape("full", 3)
