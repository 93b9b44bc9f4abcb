import numpy as np

from commerce.columns import ACTION_CODES, NO_ITEM, NO_QUERY
from commerce.histories import Events
from serving.evidence import AGAIN, GOES_WITH, QUERY, SHORTLIST, TASTE, VISIT, acts, gather, visits, without

HOUR = 3_600 * 1_000_000
NOW = 100 * HOUR
TEA = {1, 2, 3}
"""Items of the same leaf category; all others are of another."""


def events(*rows):
    """Rows of (hour, action, item)."""
    return Events(
        np.array([item for _, _, item in rows], dtype=np.int32),
        np.array([ACTION_CODES[action] for _, action, _ in rows], dtype=np.uint8),
        np.array([int(hour * HOUR) for hour, _, _ in rows], dtype=np.int64),
        np.full(len(rows), NO_QUERY, dtype=np.int32),
    )


def pieces(history, item=1, query=False, profile=False):
    found = gather(history, NOW, np.array([item]), lambda other: other in TEA, query=query, profile=profile)
    return {piece.kind: piece.events.tolist() for piece in found}


def test_pauses_part_visits_and_the_running_one_is_0():
    time = np.array([1 * HOUR, 2 * HOUR, 2 * HOUR + 1, 99.8 * HOUR], dtype=np.int64)
    assert visits(time, NOW).tolist() == [2, 1, 1, 0]
    assert visits(time[:3], NOW).tolist() == [2, 1, 1], "somebody who has just come has not done anything on this visit"


def test_an_item_bought_before_is_bought_again():
    history = events((1, "purchase", 1), (50, "view", 1), (60, "view", 9))
    assert pieces(history) == {AGAIN: [0, 1], TASTE: [2]}


def test_what_the_last_visit_compared_without_buying_is_a_shortlist():
    history = events((1, "view", 9), (50, "view", 2), (50.1, "view", 8), (50.2, "view", 1))
    assert pieces(history) == {SHORTLIST: [1, 3], TASTE: [0, 2]}


def test_what_the_last_visit_bought_of_another_category_goes_with_it():
    history = events((1, "view", 9), (50, "view", 8), (50.1, "purchase", 8), (50.2, "view", 7))
    assert pieces(history) == {GOES_WITH: [1, 2], TASTE: [0, 3]}


def test_search_terms_this_visit_and_the_profile_are_evidence_too():
    history = events(
        (99.9, "view", 2),
    )
    found = gather(history, NOW, np.array([1]), lambda other: False, query=True, profile=True)
    assert [(piece.kind, piece.events.tolist(), piece.profile) for piece in found] == [
        (QUERY, [], False),
        (VISIT, [0], False),
        (TASTE, [], True),
    ]
    assert gather(events(), NOW, np.array([1]), lambda other: False, query=False, profile=False) == []


def test_every_event_belongs_to_one_piece():
    draw = np.random.default_rng(0)
    for _ in range(100):
        count = int(draw.integers(0, 12))
        hours = np.sort(draw.choice([1, 2, 50, 50.1, 99.8, 99.9], count))
        named = draw.choice(["view", "cart", "purchase"], count)
        history = events(*zip(hours, named, draw.integers(1, 6, count), strict=True))
        places = [place for held in pieces(history).values() for place in held]
        assert sorted(places) == list(range(count))


def test_what_was_done_with_one_item_on_one_visit_is_one_act():
    history = events((1, "view", 4), (1.1, "view", 5), (1.2, "purchase", 4), (50, "view", 4), (51, "search", NO_ITEM))
    assert [places.tolist() for places in acts(history, NOW)] == [[0, 2], [1], [3], [4]]
    assert without(history, [0, 2]).item.tolist() == [5, 4, NO_ITEM]
