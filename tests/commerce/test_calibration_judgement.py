import numpy as np
import pytest

from commerce.calibration_judgement import auroc, judge_probabilities

SPREAD = {"resamples": 200, "confidence": 0.95, "seed": 0}


def test_auroc_counts_pairs():
    # Of the four pairs two are in order, one is tied, one is not.
    assert auroc(np.array([0.9, 0.4, 0.5, 0.4]), np.array([True, True, False, False])) == pytest.approx(2.5 / 4)
    assert np.isnan(auroc(np.array([0.1, 0.2]), np.array([True, True])))


def test_probabilities_that_mean_what_they_say_err_by_chance_alone():
    draw = np.random.default_rng(0)
    given = draw.uniform(0, 0.4, 20_000)
    happened = draw.random(20_000) < given
    found = judge_probabilities(given, given, happened, 0.2, np.arange(20_000) // 4, **SPREAD)
    assert found.error.value < 2 * found.by_chance < 0.02
    assert found.gain.low > 0
    assert found.error.low <= found.error.value <= found.error.high


def test_probabilities_off_by_a_tenth_have_an_error_of_a_tenth():
    draw = np.random.default_rng(0)
    given = draw.uniform(0.1, 0.4, 20_000)
    happened = draw.random(20_000) < given - 0.1
    found = judge_probabilities(given, given - 0.1, happened, 0.15, np.arange(20_000) // 4, **SPREAD)
    assert found.error.value == pytest.approx(0.1, abs=0.01)
    assert found.error.low > 0.09
    assert found.error_at_position < 0.01
