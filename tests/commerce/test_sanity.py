import numpy as np

from commerce.columns import ACTION_CODES
from commerce.histories import Histories
from commerce.sanity import changed_targets, nearly_solved, target_shares
from commerce.splits import Split


def test_shares_are_counted_window_by_window():
    # Two users; the first has a purchase in each window, the second only views before the validation window.
    actions = ["view", "purchase", "purchase", "view", "purchase", "purchase", "view", "view"]
    histories = Histories(
        np.array([0, 6, 8]),
        np.zeros(8, np.int32),
        np.array([ACTION_CODES[action] for action in actions], np.uint8),
        np.arange(8),
        np.full(8, -1, np.int32),
        np.zeros(8, np.int64),
    )
    cuts = {"ranker": np.array([2, 7]), "validation": np.array([4, 8]), "test": np.array([5, 8])}
    shares = target_shares(histories, Split(cuts, {}), ["purchase"])
    assert shares == {"towers": (1 / 3, 3), "ranker": (1 / 3, 3), "validation": (1.0, 1), "test": (1.0, 1)}


def test_a_sharp_change_between_windows_is_told_with_its_figures():
    shares = {"towers": (0.10, 5000), "ranker": (0.11, 2000), "validation": (0.30, 2000), "test": (0.29, 2000)}
    (said,) = changed_targets(shares)
    assert "targets are 30.0% of the events in the validation window but 11.0% in the ranker window before" in said
    assert changed_targets({**shares, "validation": (0.20, 2000)}) == []
    assert changed_targets({**shares, "validation": (0.30, 90)}) != []  # the test window has changed all the same


def test_a_small_window_is_no_evidence():
    assert changed_targets({"towers": (0.1, 5000), "ranker": (0.5, 40)}) == []


def test_a_window_that_popularity_nearly_solves_is_told():
    (said,) = nearly_solved({"mercato": 0.40, "towers": 0.30, "popularity": 0.37})
    assert "popularity reaches NDCG 0.3700, 92% of the best system's (mercato, 0.4000)" in said
    assert nearly_solved({"mercato": 0.40, "popularity": 0.30}) == []
    assert nearly_solved({"mercato": 0.0, "popularity": 0.0}) == []
    assert nearly_solved({"mercato": 0.4}) == []
