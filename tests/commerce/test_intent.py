import numpy as np
import pytest

from commerce.columns import INTENTS, NO_INTENT
from commerce.intent import label_moments, label_positions

LEAF = np.array([0, 0, 1, 2, -1, -1], dtype=np.int32)  # items 0 and 1 share a leaf; 4 and 5 have none


def words(labels):
    return ["none" if label == NO_INTENT else INTENTS[label] for label in labels]


def labels_of(histories, window=None):
    window = np.full(len(histories.time), -1, dtype=np.int8) if window is None else np.array(window, dtype=np.int8)
    return words(label_positions(histories, window, LEAF))


def session(*steps, number=1, start=0):
    return [(0, item, action, start + place, number) for place, (action, item) in enumerate(steps)]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # A purchase lies ahead of all but the last, which sees nothing.
        ([("view", 0), ("view", 2), ("purchase", 2)], ["buy", "buy", "none"]),
        # Once the cart is behind, a lone view is ahead.
        ([("view", 0), ("cart", 0), ("view", 3)], ["buy", "browse", "none"]),
        # Two items of one leaf ahead of the first; one alone ahead of the second.
        ([("view", 3), ("view", 0), ("view", 1)], ["compare", "browse", "none"]),
        # Three leaves: browsing.
        ([("view", 3), ("view", 0), ("view", 2)], ["browse", "browse", "none"]),
        # A return to item 3 after another item.
        ([("view", 3), ("view", 0), ("view", 3)], ["compare", "compare", "none"]),
        # Viewed and marked at once is no return.
        ([("view", 3), ("view", 0), ("favorite", 0)], ["browse", "browse", "none"]),
        # Items without a category are never of one leaf.
        ([("view", 3), ("view", 4), ("view", 5)], ["browse", "browse", "none"]),
        # A search is no item, and lies between two views of one without parting them.
        ([("view", 3), ("search", -1), ("view", 3)], ["browse", "browse", "none"]),
    ],
)
def test_labels_follow_from_the_rest_of_the_session(histories_of, steps, expected):
    assert labels_of(histories_of(session(*steps))) == expected


def test_sessions_do_not_tell_of_each_other(histories_of):
    two = session(("view", 0), ("view", 3), number=1) + session(("view", 2), ("purchase", 2), number=2, start=10)
    assert labels_of(histories_of(two)) == ["browse", "none", "buy", "none"]


def test_interleaved_sessions_are_told_apart(histories_of):
    rows = [(0, 0, "view", 0, 1), (0, 2, "view", 1, 2), (0, 3, "view", 2, 1), (0, 2, "cart", 3, 2)]
    assert labels_of(histories_of(rows)) == ["browse", "buy", "none", "none"]


def test_no_label_looks_past_its_window(histories_of):
    histories = histories_of(session(("view", 0), ("view", 3), ("purchase", 2)))
    assert labels_of(histories, window=[-1, -1, 0]) == ["browse", "none", "none"]


def test_events_at_the_same_time_do_not_tell_of_each_other(histories_of):
    basket = [(0, 0, "purchase", 5, 1), (0, 1, "purchase", 5, 1)]
    assert labels_of(histories_of(basket)) == ["none", "none"]


def test_moments_are_labelled_by_what_is_strictly_later(histories_of):
    histories = histories_of(session(("view", 0), ("view", 3), ("purchase", 2)))
    window = np.full(3, -1, dtype=np.int8)
    times, sessions = np.array([-5, 0, 2, 0]), np.array([1, 1, 1, 99])
    labels = label_moments(histories, window, LEAF, sessions, np.full(4, -1, dtype=np.int8), times)
    assert words(labels) == ["buy", "buy", "none", "none"]
