"""The blend of several scores into one that foretells the grade."""

import numpy as np
import pytest

from commerce.grade_blend import fit_grade_blend


def test_it_finds_what_the_grade_hangs_on_and_leaves_out_what_speaks_against_it():
    draw = np.random.default_rng(0)
    scores = draw.normal(size=(500, 4)) * [1, 10, 1, 0] + [0, 5, 0, 3]  # the last one never varies
    grades = 2 + scores[:, 0] + 0.1 * scores[:, 1] - scores[:, 2]
    blend = fit_grade_blend(scores, grades, np.ones(500), ("one", "ten", "against", "still"), ridge=0.0)
    assert blend.weights[:2] == pytest.approx([1.0, 1.0], abs=0.2)
    assert blend.weights[2:].tolist() == [0.0, 0.0]
    assert blend.level == pytest.approx(grades.mean())
    assert np.corrcoef(blend(scores), grades)[0, 1] > 0.7


def test_a_pair_that_weighs_nothing_changes_nothing():
    scores = np.array([[0.0], [1.0], [2.0], [50.0]])
    grades = np.array([0.0, 1.0, 2.0, 0.0])
    blend = fit_grade_blend(scores, grades, np.array([1.0, 1.0, 1.0, 0.0]), ("one",), ridge=0.0)
    assert blend(scores[:3]) == pytest.approx(grades[:3])
