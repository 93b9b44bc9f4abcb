import numpy as np
import pytest

from commerce.columns import ACTION_CODES, DAY, NO_ITEM, NO_QUERY
from commerce.histories import Histories
from commerce.profiles import (
    PRIOR,
    SEGMENTS,
    ItemTags,
    describe_behaviour,
    learn_tagging,
    price_levels,
    segment_of,
    weigh,
)

CATEGORIES = ["Food > Tea", "Food > Tea", "Home > Cup", "Health > Test"]
BRANDS = ["Leaf", None, "Clay", "Leaf"]
NOW = 100 * DAY
EVERY = 1e9  # days: nothing fades


def tags(sensitive=None):
    return ItemTags.of({"category": CATEGORIES, "brand": BRANDS}, "category", 4, sensitive)


def histories(*users):
    """Users as lists of (action, item, query, days ago), each of one session."""
    rows = [row for user in users for row in user]
    return Histories(
        offsets=np.concatenate([[0], np.cumsum([len(user) for user in users])]).astype(np.int64),
        item=np.array([row[1] for row in rows], np.int32),
        action=np.array([ACTION_CODES[row[0]] for row in rows], np.uint8),
        time=np.array([NOW - row[3] * DAY for row in rows], np.int64),
        query=np.array([row[2] for row in rows], np.int32),
        session=np.repeat(np.arange(len(users)), [len(user) for user in users]).astype(np.int64),
    )


def strengths(log, halflife=EVERY, told=(True, True), tags_=None, ends=None):
    tags_ = tags_ or tags()
    ends = log.offsets[1:] if ends is None else ends
    moments = np.full(log.users, NOW)
    tagging = learn_tagging(log, ends, moments, tags_, np.array(told), halflife)
    (found,) = [(tagging.strengths(weights), weights.toarray()) for _, weights in weigh(log, ends, moments, tagging)]
    return *found, tagging


def test_a_tag_is_the_leaf_of_a_category_or_a_value():
    made = tags()
    assert made.names == ["Tea", "Cup", "Test", "Leaf", "Clay"]
    assert made.kind.tolist() == [0, 0, 0, 1, 1]
    assert made.of_item.toarray().tolist() == [[1, 0, 0, 1, 0], [1, 0, 0, 0, 0], [0, 1, 0, 0, 1], [0, 0, 1, 1, 0]]


def test_actions_count_by_weight_and_fade():
    log = histories([("view", 0, NO_QUERY, 0), ("purchase", 2, NO_QUERY, 10)])
    _, weights, _ = strengths(log, halflife=10.0)
    # A view of tea today counts 1; a purchase of a cup, ten days ago, half of 5.
    assert weights[0].tolist() == pytest.approx([1, 2.5, 0, 1, 2.5])


def test_a_strength_is_a_share_mixed_with_everybodys():
    log = histories([("view", 0, NO_QUERY, 0)] * 4, [("view", 2, NO_QUERY, 0)] * 4)
    found, _, tagging = strengths(log)
    assert tagging.shares[:3].tolist() == [0.5, 0.5, 0]
    # 4 views of tea and the prior's half: (4 + PRIOR / 2) / (4 + PRIOR).
    assert found[0, 0] == pytest.approx((4 + PRIOR / 2) / (4 + PRIOR))
    assert found[:, :3].sum(axis=1).tolist() == pytest.approx([1, 1])


def test_a_search_counts_by_what_such_searches_lead_to():
    led = [("search", NO_ITEM, 0, 1), ("view", 0, NO_QUERY, 1), ("view", 2, NO_QUERY, 1), ("view", 0, NO_QUERY, 1)]
    log = histories(led, [("search", NO_ITEM, 0, 1)])
    _, weights, _ = strengths(log)
    # Three items after it, two of them tea.
    assert weights[1, :3].tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    _, untold, _ = strengths(log, told=(False, True))
    assert untold[1].tolist() == [0] * 5


def test_items_of_sensitive_categories_give_no_tags_not_even_by_a_search():
    sensitive = np.array([False, False, False, True])
    log = histories([("search", NO_ITEM, 0, 1), ("purchase", 3, NO_QUERY, 1)], [("search", NO_ITEM, 0, 1)])
    _, weights, _ = strengths(log, tags_=tags(sensitive))
    assert weights.sum() == 0
    assert "Test" not in tags(sensitive).names


def test_nothing_after_the_end_counts():
    log = histories([("view", 0, NO_QUERY, 3), ("purchase", 2, NO_QUERY, 1)])
    _, weights, _ = strengths(log, ends=np.array([1]))
    assert weights[0].tolist() == [1, 0, 0, 1, 0]


def test_levels_are_places_among_the_prices_of_a_category():
    prices = np.array([1, 3, 3, 9, np.nan, 5], np.float32)
    levels = price_levels(prices, np.array([0, 0, 0, 0, 0, 1]))
    # Of 1, 3, 3, 9: the two threes share the middle of places 1 and 2.
    assert levels[:4].tolist() == pytest.approx([0, 0.5, 0.5, 1])
    assert np.isnan(levels[4])
    assert levels[5] == 0.5


def test_behaviour_is_counted_up_to_the_moment():
    log = histories([("view", 0, NO_QUERY, 21), ("view", 1, NO_QUERY, 14), ("purchase", 2, NO_QUERY, 1)], [])
    log = Histories(**{**vars(log), "session": np.array([0, 1, 2])})
    prices = np.array([1, 2, 8, 4], np.float32)
    levels = np.array([0, 1, 0.5, 0.5], np.float32)
    labels = np.array([0, 2, -1], np.int8)
    moments = np.full(2, NOW)
    ((users, found),) = describe_behaviour(log, log.offsets[1:], moments, prices, levels, labels, ["purchase"])
    assert users == slice(0, 2)
    assert found.events.tolist() == [3, 0]
    assert found.sessions.tolist() == [3, 0]
    assert found.active_days.tolist() == [3, 0]
    # Pauses of 7 and 13 days; of two, the quantile is the one below the middle.
    assert found.pause_days[0] == 7
    assert found.days_since[0] == 1
    assert np.isnan(found.days_since[1])
    # The one item chosen, not the two viewed.
    assert found.price_median.tolist()[0] == 8
    assert found.price_level[0] == 0.5
    assert found.intents[0].tolist() == [0.5, 0, 0.5]
    assert [SEGMENTS[code] for code in found.segment] == ["new", "silent"]


@pytest.mark.parametrize(
    ("sessions", "pause", "since", "age", "expected"),
    [
        (0, np.nan, np.nan, np.nan, "silent"),
        (1, np.nan, 5, 5, "new"),
        (9, 3, 1, 90, "frequent"),
        (9, 10, 5, 90, "regular"),
        (9, 10, 25, 90, "fading"),
        (9, 10, 65, 90, "gone"),
        (9, 1, 13, 90, "frequent"),  # a usual pause of a day counts as a week
        (9, 1, 15, 90, "fading"),
    ],
)
def test_a_segment_measures_absence_by_the_users_own_rhythm(sessions, pause, since, age, expected):
    found = segment_of(*(np.array([float(number)]) for number in (sessions, pause, since, age)))
    assert SEGMENTS[found[0]] == expected


def test_a_log_without_searches_has_tags_too():
    _, weights, _ = strengths(histories([("view", 2, NO_QUERY, 0)]), told=())
    assert weights[0].tolist() == [0, 1, 0, 0, 1]
