import numpy as np
import pytest

from ranking.collapse import PATIENCE, CollapseWatch, spread_within_lists


def test_spread_is_the_median_over_lists_of_two_or_more():
    scores = np.array([[1.0, 3.0, 99.0], [5.0, 5.0, 99.0], [0.0, 8.0, 4.0], [7.0, 99.0, 99.0]], np.float32)
    kept = np.array([[1, 1, 0], [1, 1, 0], [1, 1, 1], [1, 0, 0]], bool)
    # spreads 1, 0 and sqrt(32 / 3); the list of one has none
    assert spread_within_lists(scores, kept) == pytest.approx(1.0)
    assert np.isnan(spread_within_lists(scores[3:], kept[3:]))


def test_it_stops_after_enough_flat_steps_on_end_and_says_why():
    watch = CollapseWatch()
    assert not any(watch.see(0.0, step, 2.996) for step in range(PATIENCE - 1))
    assert not watch.see(0.5, 100, 2.9)  # one list with an order begins the count anew
    assert not any(watch.see(0.0, step, 2.996) for step in range(PATIENCE - 1))
    assert watch.see(1e-6, 250, 2.996)
    assert "stopped at step 250: over its last 20 steps the scores within a list differed by less than" in watch.reason
    assert "lower ranking.learning_rate" in watch.reason
