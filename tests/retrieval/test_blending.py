from dataclasses import replace

import numpy as np
import pytest

from retrieval.blending import Say, blend, find_candidates

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
