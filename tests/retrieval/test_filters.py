import numpy as np
import pytest

from retrieval.filters import NOTHING, Allowed


def test_an_item_is_available_from_its_first_moment_until_before_its_last():
    allowed = Allowed(np.array([10, 0]), np.array([20, 100]), np.array([9, 10, 19, 20]), [NOTHING] * 4)
    both = np.tile([0, 1], (4, 1))
    assert allowed.mask(both).tolist() == [[False, True], [True, True], [True, True], [False, True]]


def test_each_request_excludes_its_own_items():
    allowed = Allowed(
        np.zeros(3, np.int64),
        np.ones(3, np.int64),
        np.zeros(3, np.int64),
        [np.array([2, 0, 2], np.int32), NOTHING, np.array([1], np.int32)],
    )
    items = np.array([[0, 1, 2, -1]] * 3)
    assert allowed.mask(items).tolist() == [
        [False, True, False, False],
        [True, True, True, False],
        [True, False, True, False],
    ]
    assert allowed.row(2, np.array([0, 1, 2])).tolist() == [True, False, True]
    assert allowed.mask(items[:2], np.array([2, 0])).tolist() == [
        [True, False, True, False],
        [False, True, False, False],
    ]


def test_a_list_of_exclusions_for_every_request_is_needed():
    with pytest.raises(ValueError, match="1 lists of excluded items for 2 requests"):
        Allowed(np.zeros(1, np.int64), np.ones(1, np.int64), np.zeros(2, np.int64), [NOTHING])
