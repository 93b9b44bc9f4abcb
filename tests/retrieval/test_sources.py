from dataclasses import replace

import numpy as np
import pytest

from commerce.columns import ACTION_CODES, DAY
from commerce.edges import Edges
from commerce.histories import Events
from retrieval.filters import Allowed
from retrieval.sources import Ask, AssociationSource, PopularitySource, RepeatSource, Segments, action_weights

NAMES = ["vectors", "associations", "tastes", "repeats", "popularity", "lexical"]


def lists(ranked):
    return [row[row >= 0].tolist() for row in ranked[0]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", [1, 3, 12, 40])
def test_answers_are_allowed_ordered_and_padded(checkerboard, name, k):
    allowed = checkerboard.allowed(seen=name == "repeats", until={1: 0, 4: 0})
    items, scores = checkerboard.sources[name](checkerboard.ask, k, allowed)
    assert items.shape == scores.shape == (12, k)
    assert (items.dtype, scores.dtype) == (np.int32, np.float32)
    for user in range(12):
        found = items[user][items[user] >= 0]
        n = len(found)
        assert (items[user, n:] == -1).all()
        assert np.isneginf(scores[user, n:]).all()
        assert len(set(found.tolist())) == n
        assert not {1, 4} & set(found.tolist())
        if name != "repeats":
            assert not set(checkerboard.had[user]) & set(found.tolist())
        pairs = list(zip(-scores[user, :n], found, strict=True))
        assert pairs == sorted(pairs)


@pytest.mark.parametrize("name", ["vectors", "associations", "tastes", "lexical"])
def test_the_missing_tile_is_found(checkerboard, name):
    items, _ = checkerboard.sources[name](checkerboard.ask, 3, checkerboard.allowed(seen=False))
    assert items[:, 0].tolist() == list(range(12))


@pytest.mark.parametrize("name", ["associations", "tastes", "lexical"])
def test_the_other_colour_is_never_offered(checkerboard, name):
    items, _ = checkerboard.sources[name](checkerboard.ask, 12, checkerboard.allowed())
    assert all(item % 2 == user % 2 for user, row in enumerate(lists((items, None))) for item in row)


def test_repeats_are_the_users_own_and_nothing_else(checkerboard):
    found = lists(checkerboard.sources["repeats"](checkerboard.ask, 12, checkerboard.allowed()))
    # Bought once each, one a day: the latest is first.
    assert found == [had[::-1] for had in checkerboard.had]
    assert lists(checkerboard.sources["repeats"](checkerboard.ask, 12, checkerboard.allowed(seen=False))) == [[]] * 12


def test_popularity_goes_down_one_list(checkerboard):
    found = lists(checkerboard.sources["popularity"](checkerboard.ask, 2, checkerboard.allowed(seen=False)))
    # All tiles are equally popular, so the first codes that a user has not had.
    assert found[0] == [0, 1]
    assert found[1] == [0, 1]
    assert found[11] == [0, 2]


def ask(*histories, time=10 * DAY):
    """Each history is a list of (item, action, day)."""
    events = [
        Events(
            np.array([item for item, _, _ in history], np.int32),
            np.array([ACTION_CODES[action] for _, action, _ in history], np.uint8),
            np.array([day * DAY for _, _, day in history], np.int64),
            np.full(len(history), -1, np.int32),
        )
        for history in histories
    ]
    return Ask(events, np.zeros((len(events), 0), np.float32), np.full(len(events), time), [""] * len(events))


# Item 0 leads to 2 (weight 4) and 3 (weight 1); item 1 leads to 3 (weight 2).
EDGES = Edges(np.array([0, 2, 3, 3, 3]), np.array([2, 3, 3], np.int32), np.array([4.0, 1.0, 2.0], np.float32))


def test_associations_add_up_and_fade_by_moments():
    asked = ask([(0, "purchase", 1), (1, "purchase", 1), (1, "purchase", 2)])
    items, scores = AssociationSource(EDGES, halflife=0.5)(asked, 3, Allowed.everything(4, 1))
    # Day 2: 1 -> 3 counts 2.
    # Day 1, a moment (two half-lives) earlier, counts a quarter: 0 -> 2: 4/4, 0 -> 3: 1/4, 1 -> 3: 2/4.
    assert items.tolist() == [[3, 2, -1]]
    assert scores[0, :2].tolist() == [2 + 1 / 4 + 2 / 4, 4 / 4]


def test_searches_and_empty_histories_lead_nowhere():
    asked = ask([], [(-1, "search", 1)], [(2, "view", 1)])
    found = AssociationSource(EDGES, halflife=1.0)(asked, 2, Allowed.everything(4, 3))
    assert lists(found) == [[], [], []]
    assert lists(RepeatSource(action_weights({"view": 1.0}, 0.0), 10.0)(asked, 2, Allowed.everything(4, 3))) == [
        [],
        [],
        [2],
    ]


def test_repeats_weigh_actions_and_fade_by_days():
    source = RepeatSource(action_weights({"purchase": 1.0}, 0.25), halflife_days=4.0)
    asked = ask([(0, "purchase", 2), (1, "view", 6), (1, "view", 10), (2, "purchase", 6)])
    items, scores = source(asked, 4, Allowed.everything(4, 1))
    # Ages 8, 4 and 0 days: item 0: 1/4; item 1: 1/4 (1/2 + 1); item 2: 1/2.
    assert items.tolist() == [[2, 1, 0, -1]]
    assert scores[0, :3].tolist() == [1 / 2, 3 / 8, 1 / 4]


def test_popularity_reaches_past_everything_a_user_has_had():
    counts = np.arange(100, 0, -1).astype(np.float32)
    counts[99] = 0  # never bought, never offered
    most = np.arange(97, dtype=np.int32)
    allowed = Allowed(np.zeros(100, np.int64), np.full(100, 99), np.ones(2, np.int64), [most, most[:1]])
    found = lists(PopularitySource(counts)(ask([], []), 3, allowed))
    assert found == [[97, 98], [1, 2, 3]]


# All users chose 0 six times and 1 and 2 twice each; those of category 1 chose 2 twice, those of 2 nothing.
CHOSEN = np.array([6, 2, 2, 0], np.float32)
BY = Edges(np.array([0, 0, 1, 1]), np.array([2], np.int32), np.array([2.0], np.float32))


def by_segment(*categories, prior=1.0):
    asked = replace(
        ask(*[[] for _ in categories]), profile=np.array([[9, category] for category in categories], np.int32)
    )
    return PopularitySource(CHOSEN, Segments(BY, 1, prior))(asked, 4, Allowed.everything(4, len(categories)))


def test_popularity_is_that_of_the_users_category_mixed_with_that_of_all():
    items, scores = by_segment(1)
    # A choice of all users, .6 and .2 and .2 of it, beside two of the category's own, scaled back to ten.
    assert items[0].tolist() == [2, 0, 1, -1]
    assert scores[0, :3] == pytest.approx([10 * 2.2 / 3, 10 * 0.6 / 3, 10 * 0.2 / 3])
    assert lists(by_segment(1, prior=1000.0)) == [[0, 2, 1]]


def test_somebody_of_no_known_category_gets_what_all_chose():
    items, scores = by_segment(0, 2, 1, 77)  # unknown, without choices, known, newer than the counts
    assert items[:, 0].tolist() == [0, 0, 2, 0]
    assert scores[0].tolist() == scores[3].tolist() == [6, 2, 2, -np.inf]
    assert scores[1, :3] == pytest.approx([6, 2, 2])
    nobody = PopularitySource(CHOSEN, Segments(BY, 1, 1.0))(ask([]), 2, Allowed.everything(4, 1))
    assert lists(nobody) == [[0, 1]]
