import numpy as np
import pytest

from pipeline.report.intents import LIKELIEST, calibrations


def test_the_likeliest_intent_and_each_one_are_judged():
    # Always sure of browse with .8, and right in three of four; the fifth moment has no label.
    probabilities = np.tile(np.array([0.8, 0.1, 0.1], np.float32), (5, 1))
    found = {one.name: one for one in calibrations(probabilities, np.array([0, 0, 0, 2, -1]))}
    assert list(found) == [LIKELIEST, "browse", "compare", "buy"]
    assert found[LIKELIEST].error == pytest.approx(0.05)
    assert found["buy"].error == pytest.approx(0.15)
    assert found["compare"].error == pytest.approx(0.1)
    assert found["browse"].diagram.counts.tolist() == [4]


def test_without_labels_there_is_nothing_to_judge():
    assert calibrations(np.full((2, 3), 1 / 3), np.array([-1, -1])) == []
