from dataclasses import asdict

import numpy as np
import pytest

from commerce.columns import INTENTS, NO_INTENT, NO_QUERY
from commerce.intent_moments import IntentMoments, asked_moments, moments_within
from commerce.splits import Moments

BROWSE, BUY = INTENTS.index("browse"), INTENTS.index("buy")


@pytest.fixture
def histories(histories_of):
    return histories_of(
        [
            (0, -1, "search", 10, 0, 7),
            (0, 1, "view", 20, 0),
            (0, 2, "purchase", 30, 0),
            (0, 3, "purchase", 30, 0),
            (1, 1, "view", 50, 1),
            (1, 2, "view", 60, 1),
        ]
    )


def test_lists_asked_for_see_what_is_strictly_earlier_and_only_labelled_ones_count(histories):
    moments = Moments(
        user=np.array([0, 0, 1], dtype=np.int32),
        time=np.array([10, 20, 60]),
        window=np.full(3, -1, dtype=np.int8),
        query=np.array([7, NO_QUERY, NO_QUERY], dtype=np.int32),
        session=np.array([0, 0, 1]),
    )
    found = asked_moments(histories, moments, np.array([BUY, NO_INTENT, BROWSE], dtype=np.int8))
    assert found.user.tolist() == [0, 1]
    assert found.end.tolist() == [0, 5]
    assert found.query.tolist() == [7, NO_QUERY]
    assert found.label.tolist() == [BUY, BROWSE]


def test_moments_within_sessions_follow_events_that_are_no_search_and_baskets_make_one(histories):
    label = np.array([BUY, BUY, BROWSE, BROWSE, BROWSE, NO_INTENT], dtype=np.int8)
    begin, stop = histories.offsets[:-1], histories.offsets[1:]
    found = moments_within(histories, begin, stop, label)
    # After the view, after the basket, after the other user's first view; each event is visible just after itself.
    assert list(zip(found.user.tolist(), found.end.tolist(), found.time.tolist(), strict=True)) == [
        (0, 2, 21),
        (0, 4, 31),
        (1, 5, 51),
    ]
    assert (found.query == NO_QUERY).all()
    assert moments_within(histories, begin, np.array([2, 4]), label).end.tolist() == [2]


def test_they_are_drawn_evenly_and_written(tmp_path):
    many = IntentMoments(*(np.arange(100, dtype=kind) for kind in (np.int32, np.int64, np.int64, np.int32, np.int8)))
    few = many.drawn(10, seed=1)
    assert len(few) == 10
    assert (np.diff(few.end) > 0).all()
    np.testing.assert_equal(asdict(few), asdict(many.drawn(10, seed=1)))
    assert many.drawn(100, seed=1) is many
    few.save(tmp_path / "m.npz")
    np.testing.assert_equal(asdict(IntentMoments.load(tmp_path / "m.npz")), asdict(few))
    assert len(IntentMoments.join([few, few])) == 20
