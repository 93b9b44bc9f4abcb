from dataclasses import replace

import numpy as np
import pytest

from commerce.intent import label_positions
from commerce.leaks import LeakError, check_leaks
from commerce.requests import lay_requests, single_moments
from commerce.splits import WINDOWS, Split, ends_before

GAINS = {name: {"purchase": 1.0} for name in WINDOWS}
STARTS = {"ranker": 100, "validation": 200, "test": 300}


@pytest.fixture
def clean(histories_of):
    """Arguments of a check that finds nothing: two users, who view and buy in every window."""
    histories = histories_of(
        [
            (user, 10 * n + k, action, 100 * n + 10 * k, 100 * user + n)
            for user in (0, 1)
            for n in range(4)
            for k, action in enumerate(["view", "purchase"])
        ]
    )
    users = np.arange(2)
    split = Split({name: ends_before(histories, users, np.full(2, start)) for name, start in STARTS.items()}, STARTS)
    requests = lay_requests(histories, split, single_moments(split, 2), GAINS, np.zeros(2, dtype=bool), rolling=False)
    labels = label_positions(histories, split.window_of(histories), np.zeros(40, dtype=np.int32))
    always = (np.full(40, np.iinfo(np.int64).min), np.full(40, np.iinfo(np.int64).max))
    return {"histories": histories, "split": split, "requests": requests, "intents": labels, "availability": always}


def test_a_clean_preparation_passes(clean):
    assert len(clean["requests"]) == 6
    check_leaks(**clean)


def stops(arguments, message):
    with pytest.raises(LeakError, match=message):
        check_leaks(**arguments)


def test_a_cut_that_lets_an_event_of_the_window_be_counted(clean):
    cuts = {**clean["split"].cuts}
    cuts["test"] = cuts["test"] + [0, 1]
    stops({**clean, "split": Split(cuts, STARTS)}, r"1 users have an event in the test window .* \(first: user 1\)")


def test_windows_out_of_order(clean):
    cuts = {**clean["split"].cuts}
    cuts["ranker"] = cuts["validation"] + 1
    stops({**clean, "split": Split(cuts, STARTS)}, "2 users have windows out of order")


def test_a_basket_on_both_sides(clean, histories_of):
    histories = histories_of([(0, 1, "purchase", 5, 0), (0, 2, "purchase", 5, 0)])
    cuts = {name: np.array([1]) for name in WINDOWS}
    arguments = {**clean, "histories": histories, "split": Split(cuts, {})}
    stops(arguments, "1 users have a group of equal-time events on both sides of the ranker window")


def test_a_request_that_sees_its_own_moment(clean):
    requests = clean["requests"]
    seen = replace(requests, history_end=requests.history_end + (requests.request_id == 4))
    stops({**clean, "requests": seen}, r"1 requests see an event that is not strictly earlier \(first: request_id 4\)")


def test_a_request_whose_answer_is_no_event_of_its_window(clean):
    requests = clean["requests"]
    moved = replace(requests, items=np.where(requests.request_id == 2, 31, requests.items))
    stops({**clean, "requests": moved}, "1 requests count an item without an event after their moment")


def test_a_request_whose_answer_nobody_met(clean):
    requests = clean["requests"]
    stops({**clean, "requests": replace(requests, items=requests.items * 0 + 39)}, "6 requests count an item without")


def test_an_answer_that_could_not_be_shown(clean):
    opens, closes = clean["availability"]
    opens = opens.copy()
    opens[31] = 10**6
    stops({**clean, "availability": (opens, closes)}, "2 requests count an item that was not available then")


def test_a_label_that_looks_past_its_window(clean):
    labels = clean["intents"].copy()
    labels[1] = 2  # the last event of its session in the towers' window
    stops({**clean, "intents": labels}, r"1 intent labels look past their window \(first: position 1\)")


def test_events_out_of_order(clean):
    time = clean["histories"].time.copy()
    time[5] = 0
    stops({**clean, "histories": replace(clean["histories"], time=time)}, "events are earlier than the one before")
