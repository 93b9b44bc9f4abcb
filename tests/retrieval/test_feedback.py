"""Queries that move towards what they find, by hand and by properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from retrieval.feedback import unit, with_feedback


def test_a_query_moves_towards_the_weighted_mean_of_the_nearest_products():
    known = np.array([[0.8, 0.6], [0.6, -0.8], [-1, 0]], np.float32)
    asked = np.array([[1, 0]], np.float32)
    # Cosines .8 and .6, scale 10: shares 1 and e^-2 of their sum.
    shares = np.array([1, np.exp(-2)]) / (1 + np.exp(-2))
    mean = shares @ known[:2]
    expected = asked[0] + 0.5 * mean / np.linalg.norm(mean)
    moved = with_feedback(asked, known, products=2, weight=0.5, scale=10.0)
    assert moved[0] == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)
    assert moved.dtype == np.float32


def test_nothing_moves_without_products_weight_or_queries():
    known, asked = np.eye(3, dtype=np.float32), unit(np.ones((1, 3)))
    assert with_feedback(asked, known, 0, 0.5, 10.0) is asked
    assert with_feedback(asked, known, 2, 0.0, 10.0) is asked
    assert with_feedback(asked, known[:0], 2, 0.5, 10.0) is asked
    assert with_feedback(asked[:0], known, 2, 0.5, 10.0).shape == (0, 3)


def test_more_products_than_there_are_means_all():
    known, asked = np.eye(2, dtype=np.float32), np.array([[1, 0]], np.float32)
    assert with_feedback(asked, known, 99, 1.0, 1.0) == pytest.approx(with_feedback(asked, known, 2, 1.0, 1.0))


rows = arrays(np.float32, st.tuples(st.integers(2, 6), st.just(4)), elements=st.floats(-1, 1, width=16))


@given(asked=rows, known=rows, weight=st.floats(0.125, 2))
def test_each_query_moves_by_itself_to_unit_length_and_no_further_from_what_it_found(asked, known, weight):
    asked, known = unit(asked), unit(known)
    moved = with_feedback(asked, known, 1, weight, 20.0)
    length = np.linalg.norm(moved, axis=1)
    # A query opposite to its only neighbour, or without a direction, may end without one.
    assert ((np.abs(length - 1) < 1e-5) | (length < 1e-6)).all()
    best = (asked @ known.T).max(axis=1)
    assert ((moved @ known.T).max(axis=1) >= best - 1e-4)[length > 0.5].all()
    alone = np.concatenate([with_feedback(one[None], known, 1, weight, 20.0) for one in asked])
    clear = np.sort(asked @ known.T, axis=1)
    assert moved[clear[:, -1] - clear[:, -2] > 1e-3] == pytest.approx(
        alone[clear[:, -1] - clear[:, -2] > 1e-3], abs=1e-5
    )


def test_a_zero_vector_has_no_direction():
    assert unit(np.array([[0.0, 0.0], [3.0, 4.0]])) == pytest.approx(np.array([[0, 0], [0.6, 0.8]]))
