"""The blend of several scores into one that foretells the grade."""

import numpy as np
import pytest

from commerce.grade_blend import fit_grade_blend


def test_it_finds_what_the_grade_hangs_on_and_leaves_out_what_speaks_against_it():
    draw = np.random.default_rng(0)
    scores = draw.normal(size=(500, 4)) * [1, 10, 1, 0] + [0, 5, 0, 3]  # the last one never varies
    grades = 2 + scores[:, 0] + 0.1 * scores[:, 1] - scores[:, 2]
    blend = fit_grade_blend(scores, grades, np.ones(500), np.arange(500), ("one", "ten", "against", "still"), ridge=0.0)
    assert blend.weights[:2] == pytest.approx([1.0, 1.0], abs=0.2)
    assert blend.weights[2:].tolist() == [0.0, 0.0]
    assert blend.level == pytest.approx(grades.mean())
    assert np.corrcoef(blend(scores), grades)[0, 1] > 0.7


def test_a_pair_that_weighs_nothing_changes_nothing():
    scores = np.array([[0.0], [1.0], [2.0], [50.0]])
    grades = np.array([0.0, 1.0, 2.0, 0.0])
    blend = fit_grade_blend(scores, grades, np.array([1.0, 1.0, 1.0, 0.0]), np.arange(4), ("one",), ridge=0.0)
    assert blend(scores[:3]) == pytest.approx(grades[:3])


def _with_effects(size, seed=0):
    """Return scores, grades and queries: the first score tells the order, the second what queries have in common."""
    draw = np.random.default_rng(seed)
    query = np.repeat(np.arange(200), size)
    effect = draw.normal(size=200)[query]
    scores = np.stack([draw.normal(size=len(query)), effect + draw.normal(size=len(query))], axis=1)
    return scores, scores[:, 0] + 2.0 * effect + 0.5 * draw.normal(size=len(query)), query


def test_what_queries_have_in_common_gets_no_weight_in_the_order():
    scores, grades, query = _with_effects(20)
    order = fit_grade_blend(scores, grades, np.ones(len(query)), query, ("order", "query"), ridge=0.0)
    plain = fit_grade_blend(scores, grades, np.ones(len(query)), np.arange(len(query)), ("order", "query"), ridge=0.0)
    assert order.weights[0] == pytest.approx(1.0, abs=0.05)
    assert order.weights[1] < 0.2 * plain.weights[1]


def test_with_one_product_a_query_it_is_plain_least_squares():
    scores, grades, _ = _with_effects(1)
    blend = fit_grade_blend(scores, grades, np.ones(200), np.arange(200), ("order", "query"), ridge=0.0)
    standard = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    expected = np.linalg.lstsq(standard, grades - grades.mean(), rcond=None)[0]
    assert blend.weights == pytest.approx(expected, rel=1e-6)


def test_equal_grades_leave_nothing_to_weigh():
    blend = fit_grade_blend(np.eye(4), np.ones(4), np.ones(4), np.array([0, 0, 1, 1]), ("a", "b", "c", "d"))
    assert blend(np.eye(4)) == pytest.approx(np.ones(4))
