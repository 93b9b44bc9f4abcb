import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from commerce.ranked_lists import rank_scores


def test_equal_scores_stand_in_the_order_of_item_codes():
    items, scores = rank_scores(np.array([[0.5, 0.9, 0.5, 0.9]], np.float32), 3)
    assert items.tolist() == [[1, 3, 0]]
    assert scores[0].tolist() == pytest.approx([0.9, 0.9, 0.5])


def test_lists_end_where_the_catalogue_does():
    items, scores = rank_scores(np.array([[0.1, 0.2]], np.float32), 4)
    assert items.tolist() == [[1, 0, -1, -1]]
    assert np.isneginf(scores[0, 2:]).all()


def test_items_scored_minus_infinity_are_left_out():
    items, _ = rank_scores(np.array([[-np.inf, 0.2, -np.inf], [-np.inf] * 3], np.float32), 2)
    assert items.tolist() == [[1, -1], [-1, -1]]


def test_a_score_that_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="1 of 2 scores are NaN"):
        rank_scores(np.array([[np.nan, 0.2]], np.float32), 1)


def test_no_items_or_no_requests_give_empty_lists():
    assert rank_scores(np.empty((2, 0), np.float32), 3)[0].tolist() == [[-1] * 3] * 2
    assert rank_scores(np.empty((0, 5), np.float32), 3)[0].shape == (0, 3)


coarse = st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 0.5, 1.0])


@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=coarse), st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_the_order_is_that_of_a_full_sort(scores, k):
    items, _ = rank_scores(scores, k)
    for row, shown in zip(scores, items, strict=True):
        finite = [item for item in range(len(row)) if row[item] > -np.inf]
        expected = sorted(finite, key=lambda item: (-row[item], item))[:k]
        assert shown.tolist() == expected + [-1] * (k - len(expected))
