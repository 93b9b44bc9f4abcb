import numpy as np
import pytest

from commerce.columns import ACTION_CODES, DAY, NO_ITEM, NO_QUERY
from commerce.edges import Edges
from commerce.features import Vocabulary
from commerce.histories import Events
from commerce.state import (
    HOUR,
    Candidates,
    Heard,
    ItemFacts,
    candidate_features,
    context_text,
    feature_names,
    known_features,
    profile_text,
    recent_items,
    tower_inputs,
    with_query,
)

ITEMS = ("red shoe", "blue hat", "green scarf", "black coat of a name that is much longer than forty-eight characters")
QUERIES = ("hat", "winter coat")


def events(*rows):
    """Rows of (item or query word, action, day)."""
    items = [NO_ITEM if action == "search" else what for what, action, _ in rows]
    queries = [what if action == "search" else NO_QUERY for what, action, _ in rows]
    return Events(
        np.array(items, np.int32),
        np.array([ACTION_CODES[action] for _, action, _ in rows], np.uint8),
        np.array([int(day * DAY) for *_, day in rows], np.int64),
        np.array(queries, np.int32),
    )


def facts(price=(10.0, 20.0, np.nan, 40.0)):
    # Item 0 leads to 1 (weight 2) and 3 (weight 1), item 1 leads to 3 (weight 4).
    edges = Edges(np.array([0, 2, 3, 3, 3]), np.array([1, 3, 3], np.int32), np.array([2, 1, 4], np.float32))
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], np.float32)
    rating = np.array([[0.5], [0], [-1], [2]], np.float32)
    return ItemFacts(np.array(price, np.float32), np.array([5, 0, 2, 9], np.float32), vectors, edges, rating)


def candidates(items, ranks=None, scores=None):
    n = len(items)
    given = np.zeros((n, 1), np.int32) if ranks is None else np.array(ranks, np.int32)
    return Candidates(
        np.array(items, np.int32),
        np.linspace(1, 0.5, n, dtype=np.float32),
        given,
        np.zeros(given.shape, np.float32) if scores is None else np.array(scores, np.float32),
        np.arange(n, dtype=np.int32),
    )


def told(history, listed, moment=10.0, user=(1.0, 0.0), sources=("vectors",), **of_items):
    features = candidate_features(history, int(moment * DAY), np.array(user, np.float32), listed, facts(**of_items))
    return dict(zip(feature_names(sources, ("item_rating",)), features.T, strict=True))


NOTHING = events()


# Context


def test_a_context_says_first_what_matters_most():
    history = events((0, "view", 1), (0, "search", 2), (1, "purchase", 3), (1, "search", 4), (0, "view", 5))
    text = context_text(
        history, ITEMS, QUERIES, query=" rain hat ", intent=np.array([0.1, 0.7, 0.2]), profile="age 45-54"
    )
    assert text == (
        "query: rain hat. intent: compare. recent: red shoe; blue hat. searched: winter coat; hat. about: age 45-54"
    )


def test_nothing_known_leaves_the_intent():
    text = context_text(NOTHING, ITEMS, QUERIES, query="", intent=np.array([0.5, 0.3, 0.2]), profile="")
    assert text == "intent: browse"


def test_a_ranker_hears_what_it_reads_alone():
    intent = np.array([0.1, 0.7, 0.2], dtype=np.float32)
    whole = Heard.of(("profile", "intent"), intent, "age 45-54")
    assert whole.named is intent
    assert whole.profile == "age 45-54"
    nothing = Heard.of(("associations",), intent, "age 45-54")
    assert nothing.intent.tolist() == pytest.approx([1 / 3] * 3)
    text = context_text(NOTHING, ITEMS, QUERIES, query="hat", intent=nothing.named, profile=nothing.profile)
    assert text == "query: hat"


def test_long_texts_are_cut_at_a_space():
    text = context_text(events((3, "view", 1)), ITEMS, QUERIES, query="", intent=np.eye(3)[2], profile="")
    assert text == "intent: buy. recent: black coat of a name that is much longer than"


def test_a_long_text_without_spaces_is_cut_all_the_same():
    text = context_text(events((0, "view", 1)), ["鞋" * 60], QUERIES, query="", intent=np.eye(3)[2], profile="")
    assert text == "intent: buy. recent: " + "鞋" * 48


def test_recent_items_are_distinct_and_newest_first():
    history = events((0, "view", 1), (1, "view", 2), (0, "purchase", 3), (1, "search", 4), (2, "view", 5))
    assert recent_items(history, 5).tolist() == [2, 0, 1]
    assert recent_items(history, 2).tolist() == [2, 0]
    assert recent_items(NOTHING, 5).tolist() == []


def test_a_profile_names_what_is_known():
    vocabulary = Vocabulary(
        {"age": ["45-54", "19-24"], "income": ["50-74K"]}, {"visits": (10.0, 4.0), "kids": (1.0, 1.0)}
    )
    known = known_features(vocabulary, np.array([2, 0]), np.array([0.5, 0.0]), np.array([True, False]))
    assert known == {"age": "19-24", "visits": "12"}
    assert profile_text(known) == "age 19-24, visits 12"
    assert profile_text({"household_size": 3, "age": None, "kids": float("nan"), "income": ""}) == "household size 3"


# Numbers


def test_every_number_has_a_name_and_is_finite():
    for history in (NOTHING, events((0, "view", 1)), events((0, "search", 1))):
        numbers = told(history, candidates([0, 1, 2, 3]))
        assert all(np.isfinite(column).all() for column in numbers.values())
    assert len(feature_names(("a", "b"), ())) == len(feature_names(("a",), ())) + 2


def test_an_item_brings_its_own_numbers():
    assert told(NOTHING, candidates([3, 0]))["item_rating"].tolist() == [2.0, 0.5]


def test_a_source_tells_place_and_score_only_of_what_it_found():
    listed = candidates([0, 1], ranks=[[0, -1], [2, 6]], scores=[[0.5, 77.0], [-0.5, 9.0]])
    numbers = told(NOTHING, listed, sources=("vectors", "repeats"))
    assert numbers["vectors_place"] == pytest.approx([1.0, 0.5])  # 1 / log2(0 + 2), 1 / log2(2 + 2)
    assert numbers["vectors_score"] == pytest.approx([np.log(1.5), -np.log(1.5)])
    assert numbers["repeats_place"] == pytest.approx([0.0, 1 / 3])
    assert numbers["repeats_score"] == pytest.approx([0.0, np.log(10)])


def test_affinity_and_similarity_are_inner_products():
    numbers = told(events((0, "view", 1), (1, "view", 2)), candidates([2, 3]))
    assert numbers["affinity"] == pytest.approx([0.6, -1.0])
    assert numbers["similarity_last"] == pytest.approx([0.8, 0.0])
    assert numbers["similarity_recent"] == pytest.approx([0.8, 0.0])


def test_associations_of_recent_items_are_added_and_the_best_is_kept():
    numbers = told(events((0, "view", 1), (1, "view", 2)), candidates([3, 1, 2]))
    assert numbers["association_all"] == pytest.approx(np.log1p([5, 2, 0]))
    assert numbers["association_best"] == pytest.approx(np.log1p([4, 2, 0]))


def test_price_fit_is_relative_to_recent_prices():
    numbers = told(events((0, "view", 1)), candidates([1, 2, 0]))
    assert numbers["price_known"].tolist() == [1, 0, 1]
    assert numbers["price_above"] == pytest.approx([np.log(2), 0, 0])
    cheaper = told(events((1, "view", 1)), candidates([0]))
    assert cheaper["price_above"] == pytest.approx([-np.log(2)])
    assert cheaper["price_distance"] == pytest.approx([np.log(2)])


def test_prices_of_zero_count_as_unknown():
    numbers = told(events((0, "view", 1)), candidates([0, 1]), price=(0.0, 20.0, 1.0, 1.0))
    assert numbers["price_known"].tolist() == [0, 0]
    assert numbers["price_above"].tolist() == [0, 0]


def test_own_items_are_told_by_number_and_recency():
    history = events((0, "purchase", 1), (1, "view", 2), (0, "purchase", 4), (0, "view", 7))
    numbers = told(history, candidates([1, 0, 2]), moment=10)
    assert numbers["bought"] == pytest.approx(np.log1p([0, 2, 0]))
    assert numbers["met"] == pytest.approx(np.log1p([1, 1, 0]))
    assert numbers["events_ago"] == pytest.approx([1 / np.log2(4), 1.0, 0.0])
    assert numbers["days_ago"] == pytest.approx([1 / (1 + np.log1p(8)), 1 / (1 + np.log1p(3)), 0.0])
    # Met on days 1, 4 and 7, that is every 3 days, and last 3 days ago: due now.
    assert numbers["due"] == pytest.approx([0.0, 0.0, 0.0])
    assert told(history, candidates([0]), moment=22)["due"] == pytest.approx([np.log1p(15) - np.log1p(3)])


def test_the_order_of_candidates_changes_only_their_places():
    history = events((0, "purchase", 1), (1, "view", 2))
    straight, turned = told(history, candidates([0, 1, 2, 3])), told(history, candidates([3, 1, 0, 2]))
    for name in set(straight) - {"blend_place", "blend_score"}:
        assert turned[name] == pytest.approx(straight[name][[3, 1, 0, 2]]), name


# Towers


def test_tower_inputs_are_the_last_events_padded_at_the_end():
    history = events((0, "view", 0), (1, "search", 1), (2, "purchase", 3))
    inputs = tower_inputs([history, NOTHING], length=4)
    assert inputs.item.tolist() == [[0, -1, 2, -1], [-1, -1, -1, -1]]
    assert inputs.query.tolist() == [[-1, 1, -1, -1], [-1, -1, -1, -1]]
    assert inputs.action[0].tolist() == [ACTION_CODES["view"] + 1, 1, ACTION_CODES["purchase"] + 1, 0]
    assert inputs.gap[0] == pytest.approx([0, np.log1p(24), np.log1p(48), 0])
    assert inputs.count.tolist() == [3, 0]
    assert tower_inputs([history], length=2).gap[0] == pytest.approx([0, np.log1p(2 * DAY / HOUR)])


def test_a_current_query_is_the_last_event():
    history = with_query(events((0, "view", 0)), query=1, moment=5 * DAY)
    assert history.item.tolist() == [0, NO_ITEM]
    assert history.query.tolist() == [NO_QUERY, 1]
    assert with_query(NOTHING, NO_QUERY, 0) is NOTHING
