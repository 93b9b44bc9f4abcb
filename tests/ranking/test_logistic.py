import numpy as np
import pytest

from ranking.logistic import fit_logistic, sigmoid


def test_an_intercept_alone_gives_the_share():
    happened = np.array([True, False, False, False])
    found = fit_logistic(np.ones((4, 1)), happened, np.zeros(1))
    assert sigmoid(found)[0] == pytest.approx(0.25)


def test_two_groups_get_their_own_shares():
    columns = np.array([[1, 0]] * 4 + [[1, 1]] * 2)
    happened = np.array([1, 0, 0, 0, 1, 0], dtype=bool)
    found = fit_logistic(columns, happened, np.zeros(2))
    assert sigmoid(columns[[0, 4]] @ found).tolist() == pytest.approx([0.25, 0.5])


def test_what_never_fails_stays_finite_under_a_ridge():
    found = fit_logistic(np.ones((10, 1)), np.ones(10, dtype=bool), np.ones(1))
    # The peak of 10 log p - c^2 / 2 is where 10 (1 - p) = c.
    assert 10 * (1 - sigmoid(found)[0]) == pytest.approx(found[0])


def test_it_is_scikit_learns_peak():
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn comes with mlflow")

    draw = np.random.default_rng(0)
    columns = draw.standard_normal((500, 3))
    happened = draw.random(500) < sigmoid(columns @ [1.0, -2.0, 0.5] - 1)
    found = fit_logistic(np.column_stack([np.ones(500), columns]), happened, np.array([0.0, 1, 1, 1]))
    theirs = linear_model.LogisticRegression(C=1.0, tol=1e-10).fit(columns, happened)
    np.testing.assert_allclose(found, [theirs.intercept_[0], *theirs.coef_[0]], atol=1e-5)


def test_far_out_nothing_overflows():
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]
