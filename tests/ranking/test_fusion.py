import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ranking.fusion import fuse, reorder, standardise


def test_standardised_scores_have_mean_0_and_spread_1_over_the_candidates():
    scores = standardise(np.array([[1.0, 3.0, 77.0]], np.float32), np.array([[True, True, False]]))
    assert scores.tolist() == [[-1.0, 1.0, 0.0]]


def test_equal_scores_say_nothing():
    assert standardise(np.full((1, 3), 5.0, np.float32), np.ones((1, 3), bool)).tolist() == [[0.0, 0.0, 0.0]]
    assert standardise(np.full((1, 1), 5.0, np.float32), np.ones((1, 1), bool)).tolist() == [[0.0]]


def test_the_weight_goes_from_the_retriever_to_the_cross_encoder():
    read, retrieved, kept = np.array([[0.0, 2.0]]), np.array([[9.0, 1.0]]), np.ones((1, 2), bool)
    assert fuse(read, retrieved, kept, 0.0).tolist() == [[1.0, -1.0]]
    assert fuse(read, retrieved, kept, 1.0).tolist() == [[-1.0, 1.0]]
    assert fuse(read, retrieved, kept, 0.5).tolist() == [[0.0, 0.0]]


def test_the_first_are_reordered_and_the_others_keep_their_places():
    items = np.array([[10, 20, 30, 40], [5, -1, -1, -1]], np.int32)
    retrieved = np.array([[0.9, 0.8, 0.7, 0.6], [0.5, 0, 0, 0]], np.float32)
    fused = np.array([[0.0, 2.0], [0.0, -np.inf]], np.float32)
    shown, scores = reorder(items, retrieved, fused)
    assert shown.tolist() == [[20, 10, 30, 40], [5, -1, -1, -1]]
    assert scores[0] == pytest.approx([2.0, 0.0, -1.0, -1.1])
    assert scores[1].tolist() == [0.0, -np.inf, -np.inf, -np.inf]


def test_equal_scores_stand_by_item_code():
    shown, _ = reorder(np.array([[9, 3, 7]], np.int32), np.ones((1, 3), np.float32), np.zeros((1, 3), np.float32))
    assert shown.tolist() == [[3, 7, 9]]


@given(arrays.arrays(np.float32, (2, 6), elements=st.floats(-10, 10, width=32)), st.integers(1, 9), st.floats(0, 1))
def test_a_list_keeps_its_items_and_its_scores_fall(read, depth, weight):
    items = np.array([[4, 8, 15, 16, 23, 42], [1, 2, 3, -1, -1, -1]], np.int32)
    retrieved = np.tile(np.linspace(1, 0, 6, dtype=np.float32), (2, 1))
    kept = items[:, :depth] >= 0
    fused = fuse(read[:, :depth], retrieved[:, :depth], kept, weight)
    beyond = np.full((2, max(0, depth - 6)), -np.inf, np.float32)  # a depth of more than there are
    shown, scores = reorder(items, retrieved, np.concatenate([fused, beyond], axis=1))
    for row in range(2):
        assert sorted(shown[row]) == sorted(items[row])
        there = shown[row] >= 0
        assert there[: there.sum()].all()
        assert (np.diff(scores[row][there]) <= 0).all()
