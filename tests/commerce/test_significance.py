from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from commerce.significance import enough_draws, holm, randomisation_test, sums_by_user, verdict


def p_value(sums, draws=20_000):
    return randomisation_test(np.asarray(sums, float)[:, None], draws=draws, seed=0)[0]


def test_the_p_value_is_the_share_of_all_exchanges_that_differ_as_much():
    sums = np.array([3.0, 1.0, 1.0, -0.5])
    # All 16 ways to exchange names: |sum| is at least 4.5 with signs +++-, ++++, and their opposites.
    exact = np.mean([abs(np.dot(signs, sums)) >= 4.5 for signs in product((1, -1), repeat=4)])
    assert exact == 4 / 16
    assert p_value(sums) == pytest.approx(exact, abs=0.015)


def test_equal_systems_have_p_one():
    assert p_value(np.zeros(50)) == 1.0


def test_users_without_a_difference_change_nothing():
    sums = np.array([[3.0, 0.0], [0.0, 0.0], [1.0, -2.0], [0.0, 0.0], [1.0, 1.0]])
    told = randomisation_test(sums[[0, 2, 4]], draws=1000, seed=0)
    assert (randomisation_test(sums, draws=1000, seed=0) == told).all()


@pytest.mark.parametrize(
    ("difference", "p", "words"),
    [(0.1, 0.05, "better"), (-0.1, 0.05, "worse"), (0.1, 0.0501, "no difference seen")],
)
def test_words_follow_from_the_p_value_and_the_sign(difference, p, words):
    assert verdict(difference, p, 0.95) == words


def test_a_gain_for_everybody_is_as_sure_as_the_draws_allow():
    assert p_value(np.ones(100), draws=999) == 1 / 1000


def test_sums_that_differ_by_rounding_alone_are_as_large():
    # .1 + .2 - .3 is not 0 in floating point; of 8 exchanges only these two and their opposites are told apart.
    assert p_value([0.1, 0.2, -0.3]) == 1.0


def test_a_users_requests_change_names_together():
    # Ten requests of one user are one coin: half of the exchanges leave them as they were, half turn them over.
    together = sums_by_user(np.ones(10), np.zeros(10, int), np.array([0]))
    assert p_value(together) == 1.0
    apart = sums_by_user(np.ones(10), np.arange(10), np.arange(10))
    assert p_value(apart) == pytest.approx(2 / 2**10, abs=0.001)


def test_users_without_requests_among_these_sum_to_nothing():
    sums = sums_by_user(np.array([1.0, 2.0, -0.5]), np.array([7, 7, 3]), np.array([1, 3, 7]))
    assert sums.tolist() == [0.0, -0.5, 3.0]


def test_blocks_change_nothing_but_the_draws(monkeypatch):
    sums = np.random.default_rng(0).normal(0.2, 1, (30, 2))
    whole = randomisation_test(sums, draws=5000, seed=0)
    monkeypatch.setattr("commerce.significance._BLOCK_CELLS", 1000)
    assert randomisation_test(sums, draws=5000, seed=0) == pytest.approx(whole, abs=0.03)


def rejected_nulls(gain):
    """Return how often, at .05, 5,000 pairs of systems that find the same chance of a hit are called different.

    500 users with several requests each; a hit is worth what ``gain`` draws.
    """
    rng, p_values = np.random.default_rng(1), []
    for group in range(50):
        owner = np.repeat(np.arange(500), 1 + rng.geometric(0.4, 500))
        chance = rng.beta(0.2, 3.8, (500, 100))[owner]
        a, b = (rng.random((2, *chance.shape)) < chance) * gain(rng, (2, *chance.shape))
        sums = np.stack([sums_by_user(column, owner, np.arange(500)) for column in (a - b).T], axis=1)
        p_values.append(randomisation_test(sums, draws=1000, seed=group))
    return np.mean(np.concatenate(p_values) <= 0.05)


def test_a_true_null_is_rejected_one_time_in_twenty():
    # 5,000 pairs: the share found has a standard error of .003.
    assert rejected_nulls(lambda rng, shape: rng.random(shape)) == pytest.approx(0.05, abs=0.01)


def test_a_true_null_is_rejected_somewhat_less_often_where_many_sums_are_equal():
    # Of whole hits, many exchanges give exactly the difference seen, and those count as as large.
    assert 0.035 <= rejected_nulls(lambda rng, shape: np.ones(shape)) <= 0.055


def test_holm_worked_out_on_paper():
    # .01 x 4, .02 x 3 = .06, .03 x 2 = .06, .9 x 1: each at least as large as the one before.
    assert holm(np.array([0.9, 0.01, 0.03, 0.02])).tolist() == pytest.approx([0.9, 0.04, 0.06, 0.06])
    # .04 x 2 is larger than .05 x 1.
    assert holm(np.array([0.04, 0.05])).tolist() == pytest.approx([0.08, 0.08])


@given(arrays.arrays(float, st.integers(1, 20), elements=st.floats(1e-6, 1)))
def test_holm_lies_between_no_correction_and_bonferronis(p_values):
    adjusted = holm(p_values)
    assert (adjusted >= p_values).all()
    assert (adjusted <= np.minimum(1, p_values * len(p_values)) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p_values, kind="stable")]) >= 0).all()


def test_the_draws_suffice_for_the_family():
    assert enough_draws(1, 0.95) == 10_000
    least = 1 / (enough_draws(600, 0.95) + 1)
    assert least * 600 < 0.05 / 5


@pytest.mark.parametrize(
    ("sums", "message"), [(np.zeros((0, 1)), "there are no users"), (np.array([[np.nan], [1]]), "1 of 2 summed")]
)
def test_what_cannot_be_tested_is_refused(sums, message):
    with pytest.raises(ValueError, match=message):
        randomisation_test(sums, draws=10, seed=0)
