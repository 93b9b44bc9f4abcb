"""Bins and errors that can be counted by hand."""

import numpy as np
import pytest

from commerce.calibration import chance_error, expected_calibration_error, reliability, share_interval


def diagram(probabilities, happened, bins):
    return reliability(np.array(probabilities), np.array(happened, dtype=bool), bins)


def test_bins_hold_equally_many_moments():
    found = diagram([0.9, 0.1, 0.8, 0.2, 0.7, 0.3], [1, 0, 1, 0, 0, 1], bins=3)
    assert found.counts.tolist() == [2, 2, 2]
    assert found.given == pytest.approx([0.15, 0.5, 0.85])
    assert found.happened == pytest.approx([0, 1 / 2, 1])


def test_equal_probabilities_share_a_bin_whatever_their_order():
    found = diagram([0.5, 0.5, 0.5, 0.9], [1, 0, 0, 1], bins=2)
    assert found.counts.tolist() == [3, 1]
    assert found.happened == pytest.approx([1 / 3, 1])


def test_fewer_moments_than_bins_get_a_bin_each():
    assert diagram([0.2, 0.6], [0, 1], bins=10).counts.tolist() == [1, 1]


def test_the_error_is_the_mean_distance_weighted_by_moments():
    found = diagram([0.5, 0.5, 0.5, 0.9], [1, 0, 0, 1], bins=2)
    # Three moments are 1/2 - 1/3 = 1/6 off, one is 1/10 off.
    assert expected_calibration_error(found) == pytest.approx((3 / 6 + 1 / 10) / 4)


def test_probabilities_that_mean_what_they_say_have_no_error():
    found = diagram([0.25] * 4 + [0.75] * 4, [1, 0, 0, 0, 1, 1, 1, 0], bins=2)
    assert expected_calibration_error(found) == pytest.approx(0.0)


def test_chance_alone_makes_an_error_of_the_size_foretold():
    rng = np.random.default_rng(0)
    errors, foretold = [], []
    for _ in range(200):
        given = rng.random(500)
        found = reliability(given, rng.random(500) < given, bins=10)
        errors.append(expected_calibration_error(found))
        foretold.append(chance_error(found))
    assert np.mean(errors) == pytest.approx(np.mean(foretold), rel=0.05)


def test_the_interval_of_a_share_is_wilsons():
    low, high = share_interval(np.array([0.5, 0.0]), np.array([4, 4]), confidence=0.95)
    # z^2 = 3.8415: 1/2 -+ sqrt(z^2 / 16 + z^4 / 64) / (1 + z^2 / 4); from 0 to z^2 / (4 + z^2).
    assert low == pytest.approx([0.1500, 0.0], abs=1e-4)
    assert high == pytest.approx([0.8500, 0.4899], abs=1e-4)


@pytest.mark.parametrize(
    ("probabilities", "happened", "bins"),
    [([], [], 3), ([0.5], [1, 0], 3), ([0.5], [1], 0), ([1.5], [1], 3), ([-0.1], [1], 3), ([np.nan], [1], 3)],
)
def test_what_is_no_probability_is_refused(probabilities, happened, bins):
    with pytest.raises(ValueError, match="got"):
        diagram(probabilities, happened, bins)
