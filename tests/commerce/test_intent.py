from itertools import pairwise

import ibis
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commerce.columns import ACTION_CODES, INTENTS, NO_INTENT, NO_ITEM
from commerce.intent import (
    IntentRules,
    fetch_labels,
    history_events,
    label_moments,
    leaf_table,
    moment_table,
    next_labels,
    session_marks,
)

LEAF = np.array([0, 0, 1, 2, -1, -1, 0], dtype=np.int32)  # items 0, 1 and 6 share a leaf; 4 and 5 have none
TOWERS = -1


def words(labels):
    return ["none" if label == NO_INTENT else INTENTS[label] for label in labels]


@pytest.fixture
def labels_of(label):
    """Return a function: histories -> the label of each position in words."""

    def labels(histories, window=None, **rules):
        window = np.full(len(histories.time), TOWERS) if window is None else window
        return words(label(histories, np.array(window, dtype=np.int8), LEAF, **rules))

    return labels


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
def test_labels_follow_from_the_rest_of_the_session(histories_of, labels_of, steps, expected):
    assert labels_of(histories_of(session(*steps))) == expected


def test_sessions_do_not_tell_of_each_other(histories_of, labels_of):
    two = session(("view", 0), ("view", 3), number=1) + session(("view", 2), ("purchase", 2), number=2, start=10)
    assert labels_of(histories_of(two)) == ["browse", "none", "buy", "none"]


def test_interleaved_sessions_are_told_apart(histories_of, labels_of):
    rows = [(0, 0, "view", 0, 1), (0, 2, "view", 1, 2), (0, 3, "view", 2, 1), (0, 2, "cart", 3, 2)]
    assert labels_of(histories_of(rows)) == ["browse", "buy", "none", "none"]


def test_no_label_looks_past_its_window(histories_of, labels_of):
    histories = histories_of(session(("view", 0), ("view", 3), ("purchase", 2)))
    assert labels_of(histories, window=[-1, -1, 0]) == ["browse", "none", "none"]


def test_events_at_the_same_time_do_not_tell_of_each_other(histories_of, labels_of):
    basket = [(0, 0, "purchase", 5, 1), (0, 1, "purchase", 5, 1)]
    assert labels_of(histories_of(basket)) == ["none", "none"]


def test_moments_are_labelled_by_what_is_strictly_later(histories_of, label):
    histories = histories_of(session(("view", 0), ("view", 3), ("purchase", 2)))
    window = np.full(3, TOWERS, dtype=np.int8)
    moments = (np.array([1, 1, 1, 99]), np.full(4, TOWERS, dtype=np.int8), np.array([-5, 0, 2, 0]))
    assert words(label(histories, window, LEAF, moments)) == ["buy", "buy", "none", "none"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        # Two items of leaf 0, then a third: with three asked for, only the first moment sees three ahead.
        ({"items": 3}, ["compare", "browse", "browse", "browse", "none"]),
        ({"items": 2}, ["compare", "compare", "browse", "browse", "none"]),
        ({"items": 4}, ["browse", "browse", "browse", "browse", "none"]),
    ],
)
def test_several_means_as_many_as_the_rules_say(histories_of, labels_of, rules, expected):
    visit = session(("view", 3), ("view", 0), ("view", 1), ("view", 6), ("view", 2))
    assert labels_of(histories_of(visit), **rules) == expected


def test_so_many_returns_as_the_rules_say(histories_of, labels_of):
    visit = session(("view", 3), ("view", 4), ("view", 3), ("view", 4), ("view", 2))
    assert labels_of(histories_of(visit), returns=2) == ["compare", "compare", "browse", "browse", "none"]
    assert labels_of(histories_of(visit), returns=1) == ["compare", "compare", "compare", "browse", "none"]


def test_a_shop_may_say_that_only_a_purchase_buys(histories_of, labels_of):
    visit = session(("view", 3), ("view", 0), ("cart", 1), ("view", 4))
    assert labels_of(histories_of(visit)) == ["buy", "buy", "browse", "none"]
    assert labels_of(histories_of(visit), buys=("purchase",)) == ["compare", "browse", "browse", "none"]


@pytest.mark.parametrize("pair", [(3, 4), (4, 3)])
def test_two_declared_substitutes_are_compared(histories_of, labels_of, pair):
    visit = session(("search", -1), ("view", 3), ("view", 4), ("view", 2))
    assert labels_of(histories_of(visit)) == ["browse", "browse", "browse", "none"]
    # Both lie ahead of the search alone.
    assert labels_of(histories_of(visit), substitutes=[pair]) == ["compare", "browse", "browse", "none"]


def test_the_rules_are_told_with_their_thresholds():
    assert IntentRules(("purchase",), 3, 2).words(substitutes=1200) == [
        "buy: a purchase follows in the session",
        "compare: else, 3 or more items of one leaf category, 2 or more returns to an item, or two of 1,200 pairs of "
        "declared substitutes",
        "browse: else, anything; nothing follows: no label",
    ]
    assert "substitutes" not in " ".join(IntentRules().words(substitutes=0))


def test_the_shops_own_label_of_a_moment_is_that_of_the_next_labelled_event(histories_of, warehouse):
    histories = histories_of(session(("view", 0), ("view", 3), ("view", 1), ("purchase", 2), ("view", 2)))
    window, own = np.full(5, TOWERS, dtype=np.int8), np.array([2, -1, 1, 0, -1], dtype=np.int8)
    moments = moment_table(histories.session, window, histories.time)
    labels = fetch_labels(warehouse, next_labels(history_events(histories, window, own), moments))
    assert words(labels) == ["compare", "compare", "browse", "none", "none"]
    # A label of the next window tells nothing.
    window = np.array([-1, -1, 0, 0, 0], dtype=np.int8)
    moments = moment_table(histories.session, window, histories.time)
    labels = fetch_labels(warehouse, next_labels(history_events(histories, window, own), moments))
    assert words(labels) == ["none", "none", "browse", "none", "none"]


events = st.lists(
    st.tuples(
        st.integers(0, 6), st.sampled_from(["view", "search", "favorite", "cart", "purchase"]), st.integers(0, 9),
        st.integers(0, 1),
    ),
    min_size=1, max_size=14,
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events=events, cut=st.integers(0, 10), items=st.integers(2, 3), returns=st.integers(1, 2))
def test_labels_are_those_of_a_plain_reading_of_the_rest(histories_of, events, cut, items, returns):
    rows = [(0, NO_ITEM if action == "search" else item, action, time, number) for item, action, time, number in events]
    histories = histories_of(rows)
    window = (histories.time >= cut).astype(np.int8)
    pairs = ibis.memtable({"item": np.array([3], np.int32), "other": np.array([5], np.int32)})
    rules = IntentRules(("cart", "purchase"), items, returns)
    marks = session_marks(history_events(histories, window), leaf_table(LEAF), pairs, rules)
    moments = moment_table(histories.session, window, histories.time)
    found = fetch_labels(ibis.duckdb.connect(threads=1), label_moments(moments, marks))
    plain = [_plainly(histories, window, place, {(3, 5)}, rules) for place in range(len(rows))]
    assert words(found) == plain


def _plainly(histories, window, place, substitutes, rules):
    """The label of the moment just after an event, by looking at all the rest."""
    same = (histories.session == histories.session[place]) & (window == window[place])
    rest = np.flatnonzero(same & (histories.time > histories.time[place]))
    if not len(rest):
        return "none"
    if any(histories.action[one] in (ACTION_CODES["cart"], ACTION_CODES["purchase"]) for one in rest):
        return "buy"
    met = {int(histories.item[one]) for one in rest} - {NO_ITEM}
    several = any(sum(LEAF[item] == leaf for item in met) >= rules.items for leaf in (0, 1, 2))
    visited = [one for one in np.flatnonzero(same) if histories.item[one] != NO_ITEM]
    back = [
        one
        for before, one in pairwise(visited)
        if histories.item[one] != histories.item[before]
        and histories.item[one] in [histories.item[other] for other in visited if other < one]
    ]
    returned = sum(one in rest for one in back) >= rules.returns
    return "compare" if several or returned or any({a, b} <= met for a, b in substitutes) else "browse"
