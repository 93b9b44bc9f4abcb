import re
from dataclasses import replace

import numpy as np
import pytest

from commerce.leaks import LeakError, check_leaks
from commerce.requests import lay_requests, single_moments
from commerce.splits import WINDOWS, Split, ends_before

GAINS = {name: {"purchase": 1.0} for name in WINDOWS}
STARTS = {"ranker": 100, "validation": 200, "test": 300}


@pytest.fixture
def clean(histories_of, label):
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
    labels = label(histories, split.window_of(histories), np.zeros(40, dtype=np.int32))
    always = (np.full(40, np.iinfo(np.int64).min), np.full(40, np.iinfo(np.int64).max))
    return {
        "histories": histories,
        "split": split,
        "requests": requests,
        "intents": labels,
        "availability": always,
        "user_ids": ["ann", "ben"],
        "item_ids": [f"item-{code}" for code in range(40)],
    }


def test_a_clean_preparation_passes(clean):
    assert len(clean["requests"]) == 6
    check_leaks(**clean)


def stops(arguments, message, *rows):
    """The check stops with this message, then these rows, then a last line, and nothing else."""
    with pytest.raises(LeakError) as found:
        check_leaks(**arguments)
    lines = str(found.value).split("\n")
    assert re.search(message, lines[0])
    assert [line.strip() for line in lines[1:-1]] == list(rows)
    assert "please report it with these rows" in lines[-1]


def at(microseconds):
    if not microseconds:
        return "at 1970-01-01T00:00:00Z"
    return f"at 1970-01-01T00:00:00.{microseconds:06d}Z"


def test_a_cut_that_lets_an_event_of_the_window_be_counted(clean):
    cuts = {**clean["split"].cuts}
    cuts["test"] = cuts["test"] + [0, 1]
    stops(
        {**clean, "split": Split(cuts, STARTS)},
        r"1 events of the test window or a later one count as before it:",
        f"user ben, item item-30, view {at(300)}; belongs to the test window, broke into the validation window",
    )


def test_a_planted_leak_is_told_by_the_first_five_rows_and_the_count(clean):
    cuts = {name: cut + 2 * (name == "ranker") for name, cut in clean["split"].cuts.items()}
    planted = [
        f"user {user}, item item-{10 + k}, {action} {at(100 + 10 * k)}; "
        "belongs to the ranker window, broke into the towers window"
        for user in ("ann", "ben")
        for k, action in enumerate(["view", "purchase"])
    ]
    stops({**clean, "split": Split(cuts, STARTS)}, "4 events of the ranker window or a later one", *planted)
    all_late = dict.fromkeys(WINDOWS, clean["histories"].offsets[1:])
    with pytest.raises(LeakError) as found:
        check_leaks(**{**clean, "split": Split(all_late, STARTS)})
    lines = str(found.value).split("\n")
    assert "12 events of the ranker window or a later one count as before it, the first 5 of them:" in lines[0]
    assert len(lines) == 1 + 5 + 1


def test_windows_out_of_order(clean):
    cuts = {**clean["split"].cuts}
    cuts["ranker"] = cuts["validation"] + 1
    stops(
        {**clean, "split": Split(cuts, STARTS)},
        "2 users have windows out of order",
        *(
            f"user {user}, item item-20, view {at(200)}; belongs to the validation window, broke into the towers window"
            for user in ("ann", "ben")
        ),
    )


def test_a_window_that_runs_over_its_users_history(clean):
    cuts = {**clean["split"].cuts}
    cuts["test"] = cuts["test"] + 3
    stops(
        {**clean, "split": Split(cuts, STARTS)},
        "2 users have windows out of order",
        f"user ben, item item-0, view {at(0)}; belongs to the next user's window, broke into the validation window",
        "what would come after the log's last event broke into the validation window",
    )


def test_a_basket_on_both_sides(clean, histories_of):
    histories = histories_of([(0, 1, "purchase", 5, 0), (0, 2, "purchase", 5, 0)])
    cuts = {name: np.array([1]) for name in WINDOWS}
    arguments = {**clean, "histories": histories, "split": Split(cuts, {})}
    stops(
        arguments,
        "1 users have a group of equal-time events on both sides of the ranker window",
        f"user ann, item item-1, purchase {at(5)}; belongs to the ranker window, broke into the towers window",
    )


def test_a_request_that_sees_its_own_moment(clean):
    requests = clean["requests"]
    seen = replace(requests, history_end=requests.history_end + (requests.request_id == 4))
    stops(
        {**clean, "requests": seen},
        "1 requests see an event that is not strictly earlier:",
        f"user ann, item item-30, view {at(300)}; belongs to the test window, "
        f"broke into what the test window's request of {at(300)[3:]} sees",
    )


def test_a_request_that_lies_before_its_window(clean):
    requests = clean["requests"]
    early = replace(requests, history_end=requests.history_end - (requests.request_id == 4))
    stops(
        {**clean, "requests": early},
        "1 test requests lie before their window:",
        f"user ann, item item-21, purchase {at(210)}; belongs to the validation window, broke into the test window, "
        f"as the first event after the request of {at(300)[3:]}",
    )


def test_a_request_whose_answer_is_no_event_of_its_window(clean):
    requests = clean["requests"]
    moved = replace(requests, items=np.where(requests.request_id == 2, 31, requests.items))
    stops(
        {**clean, "requests": moved},
        "1 relevant items have no event after their request's moment and inside its window",
        f"user ann, item item-31, purchase {at(310)}; belongs to the test window, "
        f"broke into the validation window's request of {at(200)[3:]}",
    )


def test_a_request_whose_answer_nobody_met(clean):
    requests = clean["requests"]
    with pytest.raises(LeakError, match="6 relevant items have no event") as found:
        check_leaks(**{**clean, "requests": replace(requests, items=requests.items * 0 + 39)})
    assert "user ann, item item-39, no event with it; belongs to no window" in str(found.value)


def test_an_answer_that_could_not_be_shown(clean):
    opens, closes = clean["availability"]
    opens = opens.copy()
    opens[31] = 10**6
    stops(
        {**clean, "availability": (opens, closes)},
        "2 relevant items were not available at their request's moment",
        *(
            f"user {user}, item item-31, purchase {at(310)}; belongs to the test window, broke into the test window's "
            f"request of {at(300)[3:]}; available from 1970-01-01T00:00:01Z"
            for user in ("ann", "ben")
        ),
    )


def test_a_label_that_looks_past_its_window(clean, histories_of):
    histories = histories_of([(0, 1, "view", 5, 0), (0, 2, "purchase", 150, 0)])
    cuts = {name: np.array([1 if name == "ranker" else 2]) for name in WINDOWS}
    none = clean["requests"].where(np.zeros(6, dtype=bool))
    arguments = {**clean, "histories": histories, "split": Split(cuts, STARTS), "requests": none}
    stops(
        {**arguments, "intents": np.array([2, -1], np.int8)},
        "1 intent labels look past their window:",
        f"label of user ann, item item-1, view {at(5)}; belongs to the ranker window, broke into the towers window",
    )


def test_a_request_whose_label_is_from_beyond_its_window(clean):
    requests, histories = clean["requests"], clean["histories"]
    # Each request stands at its window's start, in the session of the events after it: a label is right there.
    session = histories.session[requests.history_end]
    right = replace(requests, session=session, intent=np.full(6, 2, dtype=np.int8))
    check_leaks(**{**clean, "requests": right})
    # The session that the ranker's requests are said to be in goes on in the validation window alone.
    moved = replace(right, session=np.where(right.window == "ranker", session + 1, session))
    with pytest.raises(LeakError, match="2 requests have an intent label from beyond their window"):
        check_leaks(**{**clean, "requests": moved})
    with pytest.raises(LeakError, match="6 requests have an intent label from beyond their window"):
        check_leaks(**{**clean, "requests": replace(right, session=session * 0 - 1)})


def test_events_out_of_order(clean):
    time = clean["histories"].time.copy()
    time[5] = 0
    stops(
        {**clean, "histories": replace(clean["histories"], time=time)},
        "1 events are earlier than the one before them",
        "user ann, item item-21, purchase at 1970-01-01T00:00:00Z; belongs to the towers window, "
        "broke into the validation window",
    )
