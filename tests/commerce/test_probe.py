import numpy as np
import pytest

from commerce.probe import auroc, fit_logistic, probe_features

OPTIONS = {"resamples": 200, "confidence": 0.95, "seed": 0}


def test_auroc_counts_pairs_and_halves_ties():
    # Of 2 x 2 pairs: .9 beats both, .5 beats .1 and ties with .5: 3.5 of 4.
    scores, truth = np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])
    assert auroc(scores, truth) == 3.5 / 4


def test_the_regression_stands_where_its_gradient_is_zero():
    random = np.random.default_rng(0)
    columns, truth = random.standard_normal((80, 3)), random.random(80) < 0.4
    weights = fit_logistic(columns, truth)
    chance = 1 / (1 + np.exp(-(columns @ weights[1:] + weights[0])))
    np.testing.assert_allclose((chance - truth).sum(), 0, atol=1e-3)
    np.testing.assert_allclose(columns.T @ (chance - truth) + weights[1:], 0, atol=1e-3)


def test_what_vectors_hold_is_read_and_what_they_do_not_is_not():
    random = np.random.default_rng(1)
    vectors = random.standard_normal((600, 8))
    held = np.where(vectors[:, 2] + 0.5 * random.standard_normal(600) > 0, "a", "b").tolist()
    absent = random.choice(["x", "y"], 600).tolist()
    read, guessed = probe_features(vectors, {"held": held, "absent": absent}, **OPTIONS)
    assert (read.feature, read.value, read.users) == ("held", "b", 600)
    assert read.low < read.auroc < read.high
    assert read.low > 0.9
    assert abs(guessed.auroc - 0.5) < 0.07


def test_numbers_are_halved_at_the_median_and_rare_values_left_out():
    random = np.random.default_rng(2)
    vectors = random.standard_normal((100, 4))
    ages = [None if row < 10 else float(row) for row in range(100)]
    words = ["common"] * 60 + ["other"] * 38 + ["rare"] * 2
    reads = probe_features(vectors, {"age": ages, "word": words}, **OPTIONS)
    assert [(one.feature, one.value, one.users, one.having) for one in reads] == [
        ("age", "above 54.5", 90, 45),
        ("word", "common", 100, 60),
        ("word", "other", 100, 38),
    ]


@pytest.mark.parametrize("values", [[None] * 50, ["same"] * 50])
def test_a_feature_that_tells_nobody_apart_is_not_probed(values):
    assert probe_features(np.ones((50, 3)), {"flat": values}, **OPTIONS) == []
