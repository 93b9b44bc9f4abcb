import numpy as np
import pytest

from retrieval.catalogue import Catalogue
from retrieval.recall import lower_bound, measure, recalls_of, true_last

# Item i scores i for the one query.
LADDER = Catalogue(np.arange(6, dtype=np.int32), np.arange(6, dtype=np.float32)[:, None])
ONE = np.ones((1, 1), np.float32)


def test_recall_is_the_share_of_the_list_that_is_as_good_as_the_true_one():
    last = true_last(LADDER, ONE, 4)
    assert last == pytest.approx([2.0], abs=1e-4)
    assert recalls_of(np.array([[5.0, 4.0, 1.0, -np.inf]], np.float32), last, 4).tolist() == [2 / 4]


def test_of_two_equal_items_either_is_right():
    twins = Catalogue(np.arange(3, dtype=np.int32), np.array([[2.0], [1.0], [1.0]], np.float32))
    assert recalls_of(np.array([[2.0, 1.0]], np.float32), true_last(twins, ONE, 2), 2).tolist() == [1.0]


def test_tombstones_and_filters_do_not_count():
    dead = Catalogue(np.array([0, 1, 2, 3, -1, 5], np.int32), LADDER.vectors)
    assert true_last(dead, ONE, 2) == pytest.approx([3.0], abs=1e-4)
    assert true_last(LADDER, ONE, 2, LADDER.ids < 3) == pytest.approx([1.0], abs=1e-4)


def test_the_bound_lies_1_645_standard_errors_below_the_mean_of_many_queries():
    recalls = np.repeat([0.8, 1.0], 200)  # standard deviation .1, standard error .005
    found = lower_bound(recalls)
    assert found.mean == pytest.approx(0.9)
    assert found.low == pytest.approx(0.9 - 1.645 * 0.005, abs=5e-4)
    assert lower_bound(np.ones(60)).low == pytest.approx(1.0)


def test_a_search_that_forgets_every_other_item_has_half_the_recall():
    class Forgetful:
        def search(self, vectors, k, allowed):
            return None, np.array([[5.0, -np.inf, 3.0, -np.inf]], np.float32)

    assert measure(Forgetful(), LADDER, ONE, 4).mean == 2 / 4
