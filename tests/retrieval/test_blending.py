from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.blending import Say, blend, find_candidates
from retrieval.filters import Allowed
from retrieval.sources import Ask, PopularitySource

NONE = -np.inf


def ranked(*rows):
    """Lists of (item, score) pairs, padded to the longest."""
    width = max(len(row) for row in rows)
    items = np.full((len(rows), width), -1, np.int32)
    scores = np.full((len(rows), width), NONE, np.float32)
    for r, row in enumerate(rows):
        for c, (item, score) in enumerate(row):
            items[r, c], scores[r, c] = item, score
    return items, scores


LISTS = {
    "near": ranked([(5, 0.9), (7, 0.8), (1, 0.1)], []),
    "often": ranked([(7, 30.0), (2, 10.0)], [(4, 3.0)]),
}


def test_reciprocal_ranks_add_up():
    found = blend(LISTS, keep=4, rank_constant=9.0)
    # c = 9: first place 1/10, second 1/11, third 1/12. Item 7 is second and first.
    assert found.items.tolist() == [[7, 5, 2, 1], [4, -1, -1, -1]]
    assert found.scores[0] == pytest.approx([1 / 11 + 1 / 10, 1 / 10, 1 / 11, 1 / 12])
    assert found.scores[1].tolist() == pytest.approx([1 / 10, NONE, NONE, NONE])


def test_weights_multiply_a_sources_say():
    found = blend(LISTS, keep=4, rank_constant=9.0, weights={"near": 1.0, "often": 0.1})
    assert found.items[0].tolist() == [7, 5, 1, 2]
    assert found.scores[0] == pytest.approx([1 / 11 + 0.1 / 10, 1 / 10, 1 / 12, 0.1 / 11])


def test_candidates_keep_where_they_came_from():
    found = blend(LISTS, keep=4, rank_constant=9.0)
    assert found.sources == ("near", "often")
    assert found.ranks[0].tolist() == [[1, 0], [0, -1], [-1, 1], [2, -1]]
    assert found.source_scores[0] == pytest.approx(np.array([[0.8, 30.0], [0.9, 0.0], [0.0, 10.0], [0.1, 0.0]]))
    assert found.ranks[1].tolist() == [[-1, 0], [-1, -1], [-1, -1], [-1, -1]]


def test_equal_scores_stand_by_item_code():
    found = blend({"a": ranked([(9, 1.0)]), "b": ranked([(3, 1.0)])}, keep=1, rank_constant=60.0)
    assert found.items.tolist() == [[3]]


def test_nothing_found_is_nothing_blended():
    found = blend({"a": ranked([], [])}, keep=2, rank_constant=60.0)
    assert found.items.tolist() == [[-1, -1], [-1, -1]]


def test_a_source_without_a_weight_is_refused():
    with pytest.raises(ValueError, match=r"without weight \['often'\]"):
        blend(LISTS, keep=1, rank_constant=9.0, weights={"near": 1.0})


def test_every_source_is_asked_and_the_missing_tile_wins(checkerboard):
    found = find_candidates(
        checkerboard.sources,
        checkerboard.ask,
        checkerboard.allowed(seen=False),
        per_source=5,
        keep=7,
        says={"all_query": Say(dict.fromkeys(checkerboard.sources, 1.0), 60.0)},
        protocol="all",
    )
    assert found.items[:, 0].tolist() == list(range(12))
    assert found.sources == tuple(checkerboard.sources)
    first = dict(zip(found.sources, found.ranks[:, 0].T, strict=True))
    assert {name for name, ranks in first.items() if (ranks == 0).all()} == {
        "vectors",
        "associations",
        "tastes",
        "lexical",
    }
    assert (first["repeats"] == -1).all()  # nobody had the missing tile


def test_requests_with_and_without_search_terms_are_blended_each_in_their_way(checkerboard):
    weights = dict.fromkeys(checkerboard.sources, 0.0)
    says = {
        "all": Say(weights | {"popularity": 1.0}, 0.0),
        "all_query": Say(weights | {"lexical": 1.0}, 0.0),
    }
    ask = replace(checkerboard.ask, queries=["white", "", *[""] * 9, "black tile 4"])
    found = find_candidates(checkerboard.sources, ask, checkerboard.allowed(), 5, 2, says, "all")
    # All tiles are equally popular; item 1 is the first white one, and item 4 alone has that number.
    assert found.items[[0, 1, 2, 11], 0].tolist() == [1, 0, 0, 4]
    assert found.ranks[:, 0, found.sources.index("lexical")].tolist() == [0, *[-1] * 10, 0]


def test_of_variants_the_best_blended_stays_and_others_move_up():
    variants = np.array([0, 1, 2, 3, 4, 5, 6, 5], np.int32)  # 5 and 7 are one product
    found = blend(LISTS, keep=3, rank_constant=9.0, variants=variants)
    assert found.items.tolist() == [[7, 2, 1], [4, -1, -1]]
    assert found.ranks[0].tolist() == [[1, 0], [-1, 1], [2, -1]]


@given(st.data())
def test_no_list_holds_two_variants_and_nothing_else_is_lost(data):
    items = data.draw(st.integers(1, 12))
    order = st.permutations(range(items))
    lists = {
        name: ranked(*[[(item, 1.0) for item in data.draw(order)[: data.draw(st.integers(0, items))]] for _ in "ab"])
        for name in ("one", "other")
    }
    variants = np.array(data.draw(st.lists(st.integers(0, items - 1), min_size=items, max_size=items)), np.int32)
    keep = data.draw(st.integers(1, 2 * items))
    whole = blend(lists, 2 * items, 60.0).items
    for row, shown in zip(whole, blend(lists, keep, 60.0, variants=variants).items, strict=True):
        first = dict.fromkeys(variants[row[row >= 0]].tolist())
        expected = [next(item for item in row.tolist() if variants[item] == group) for group in first][:keep]
        assert shown[shown >= 0].tolist() == expected
    alone = blend(lists, keep, 60.0, variants=np.arange(items, dtype=np.int32))
    assert alone.items.tolist() == blend(lists, keep, 60.0).items.tolist()


def test_a_list_that_variants_leave_short_is_filled_from_deeper():
    # Sixteen items in eight pairs: the first four by popularity are two products, the sixth item opens the third.
    source = {"popularity": PopularitySource(np.arange(16, 0, -1, dtype=np.float32))}
    nobody = Ask([None, None], np.zeros((2, 0), np.float32), np.zeros(2, np.int64), ["", ""])
    allowed = Allowed.everything(16, 2)
    allowed = replace(allowed, excluded=[np.arange(16, dtype=np.int32)[::2], *allowed.excluded[1:]])
    says = {"all": Say({"popularity": 1.0}, 60.0)}
    pairs = np.arange(16, dtype=np.int32) // 2 * 2
    found = find_candidates(source, nobody, allowed, 4, 4, says, "all", pairs)
    # The first request may not be shown one of each pair, so that nothing is dropped; the second goes down to item 6.
    assert found.items.tolist() == [[1, 3, 5, 7], [0, 2, 4, 6]]
    everything = find_candidates(source, nobody, allowed, 4, 12, says, "all", pairs)
    assert (everything.items[1] >= 0).sum() == 8  # there are no more products, however deep one asks
    alone = np.arange(16, dtype=np.int32)
    one, other = (find_candidates(source, nobody, allowed, 4, 6, says, "all", groups) for groups in (alone, None))
    assert one.items.tolist() == other.items.tolist()
