import numpy as np
import pytest

from commerce.differences import ALL, corrected, find_differences
from commerce.intervals import paired
from commerce.metrics import Relevant, find, recall
from commerce.segments import Segment

# Forty users with two requests each, one relevant item a request: item 0, or item 1 in every second request.
REQUESTS = 80
USERS = np.repeat(np.arange(40), 2) + 100
RELEVANT = Relevant(np.arange(REQUESTS + 1), np.tile([0, 1], 40).astype(np.int32), np.ones(REQUESTS, np.float32))
SECOND_ITEM = Segment("item: second", RELEVANT.items == 1, of_items=True)
SETTINGS = {"resamples": 300, "draws": 2000, "confidence": 0.9, "seed": 0}


def lists(*rows):
    """Lists of one item for each of a user's two requests, alike for all users."""
    return find(np.tile(np.array(rows, np.int32)[:, None], (40, 1)), RELEVANT)


def test_values_and_differences_worked_out_on_paper():
    # The first system always lists item 0, the second item 1 where that is relevant, and item 7 otherwise.
    whole, part = find_differences(lists(0, 0), lists(7, 1), USERS, [("recall", 1)], [SECOND_ITEM], **SETTINGS)
    assert (whole.part, whole.requests, whole.users, whole.first, whole.second) == (ALL, 80, 40, 0.5, 0.5)
    assert (part.part, part.requests, part.users, part.first, part.second) == ("item: second", 40, 40, 0.0, 1.0)
    # Each user loses one and wins one: nothing in all, everything in the part.
    assert (whole.interval.value, whole.p_value) == (0.0, 1.0)
    assert (part.interval.low, part.interval.high, part.p_value) == (1.0, 1.0, 1 / 2001)
    assert (whole.verdict(0.95), part.verdict(0.95)) == ("no difference seen", "better")


def test_the_interval_is_the_paired_one_over_users():
    rng = np.random.default_rng(0)
    one, other = (find(rng.integers(0, 2, (REQUESTS, 1)).astype(np.int32), RELEVANT) for _ in "ab")
    (found,) = find_differences(one, other, USERS, [("recall", 1)], [], **SETTINGS)
    expected = paired(recall(other, 1), recall(one, 1), USERS, resamples=300, confidence=0.9, seed=0)
    assert found.interval.as_dict() == pytest.approx(expected.as_dict())


def test_worse_is_said_of_the_second():
    (found,) = find_differences(lists(0, 1), lists(0, 0), USERS, [("recall", 1)], [], **SETTINGS)
    assert found.metric == "recall@1"
    assert found.verdict(0.95) == "worse"


def test_the_family_is_everything_that_is_given():
    found = find_differences(lists(0, 0), lists(7, 1), USERS, [("recall", 1), ("mrr", 1)], [SECOND_ITEM], **SETTINGS)
    adjusted = corrected(found)
    assert [one.p_value for one in adjusted] == pytest.approx([1, 1, 4 / 2001, 4 / 2001])
    assert corrected([found[2]])[0].p_value == found[2].p_value
