from itertools import pairwise
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce.metrics import (
    ABSENT,
    RANKED,
    Relevant,
    average_precision,
    binary_ndcg,
    find,
    hit_rate,
    mrr,
    ndcg,
    precision,
    r_precision,
    recall,
)


def relevant_of(*requests: dict[int, float]) -> Relevant:
    offsets = np.cumsum([0, *(len(request) for request in requests)])
    items = [item for request in requests for item in request]
    gains = [gain for request in requests for gain in request.values()]
    return Relevant(offsets.astype(np.int64), np.array(items, np.int32), np.array(gains, np.float32))


def lists(*rows: list[int]) -> np.ndarray:
    width = max((len(row) for row in rows), default=0)
    return np.array([row + [-1] * (width - len(row)) for row in rows], np.int32).reshape(len(rows), width)


# Three requests: two of three chosen items shown, at places 2 and 4; the one chosen item first; nothing found.
CHOSEN = relevant_of({7: 1, 8: 1, 9: 1}, {5: 1}, {1: 1, 2: 1})
SHOWN = lists([3, 7, 4, 8], [5, 6, 7, 8], [3, 4, 5, 6])


def test_ranks_are_those_of_the_relevant_items():
    assert find(SHOWN, CHOSEN).ranks.tolist() == [1, 3, ABSENT, 0, ABSENT, ABSENT]


def test_recall_is_the_share_of_the_relevant_items():
    assert recall(find(SHOWN, CHOSEN), 2) == pytest.approx([1 / 3, 1, 0])
    assert recall(find(SHOWN, CHOSEN), 4) == pytest.approx([2 / 3, 1, 0])


def test_hit_rate_asks_for_any():
    assert hit_rate(find(SHOWN, CHOSEN), 1).tolist() == [0, 1, 0]
    assert hit_rate(find(SHOWN, CHOSEN), 2).tolist() == [1, 1, 0]


def test_mrr_is_one_over_the_first_place_and_zero_beyond_the_cut():
    assert mrr(find(SHOWN, CHOSEN), 4) == pytest.approx([1 / 2, 1, 0])
    assert mrr(find(SHOWN, CHOSEN), 1) == pytest.approx([0, 1, 0])


def test_precision_divides_by_the_cut_even_where_the_list_is_shorter():
    assert precision(find(SHOWN, CHOSEN), 2) == pytest.approx([1 / 2, 1 / 2, 0])
    assert precision(find(lists([7, 8]), relevant_of({7: 1, 8: 1})), 4) == pytest.approx([2 / 4])


def test_r_precision_is_the_precision_at_the_number_of_relevant_items():
    # Of three relevant items one is among the first three; the only one is first; none of two.
    assert r_precision(find(SHOWN, CHOSEN)) == pytest.approx([1 / 3, 1, 0])
    # Three relevant items and lists of two: what lies beyond is missed.
    assert r_precision(find(lists([7, 8]), relevant_of({7: 1, 8: 1, 9: 1}))) == pytest.approx([2 / 3])


def test_map_averages_the_precision_at_each_hit():
    # Request 0: precision 1/2 at place 2 and 2/4 at place 4, over its three relevant items.
    assert average_precision(find(SHOWN, CHOSEN), 4) == pytest.approx([(1 / 2 + 2 / 4) / 3, 1, 0])


def test_map_of_a_list_shorter_than_the_relevant_items_cannot_be_one():
    assert average_precision(find(lists([7, 8]), relevant_of({7: 1, 8: 1, 9: 1})), 2) == pytest.approx([2 / 3])


def test_ndcg_compares_with_the_ideal_list():
    # Places 2 and 4 of request 0 against an ideal of places 1 to 3.
    expected = (1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3) + 1 / 2)
    assert ndcg(find(SHOWN, CHOSEN), 4) == pytest.approx([expected, 1, 0])
    assert binary_ndcg(find(SHOWN, CHOSEN), 4) == pytest.approx([expected, 1, 0])


def test_ndcg_takes_gains_as_given_and_binary_ndcg_does_not():
    # A cart of gain .5 on place 1 and a purchase of gain 1 on place 2; ideally the other way round.
    found = find(lists([4, 6]), relevant_of({6: 1.0, 4: 0.5}))
    assert ndcg(found, 2) == pytest.approx([(0.5 + 1 / log2(3)) / (1 + 0.5 / log2(3))])
    assert binary_ndcg(found, 2) == pytest.approx([1])


def test_an_item_listed_twice_counts_once_at_its_first_place():
    found = find(lists([3, 7, 7, 7]), relevant_of({7: 1, 8: 1}))
    assert found.ranks.tolist() == [1, ABSENT]
    assert recall(found, 4) == pytest.approx([1 / 2])


def test_k_beyond_the_list_and_the_catalogue_adds_nothing():
    found = find(SHOWN, CHOSEN)
    assert recall(found, 10**6).tolist() == recall(found, 4).tolist()
    assert mrr(found, 10**6).tolist() == mrr(found, 4).tolist()


@pytest.mark.parametrize("measure", RANKED.values(), ids=RANKED)
def test_a_request_without_a_list_scores_zero(measure):
    assert measure(find(np.full((3, 4), -1, np.int32), CHOSEN), 10).tolist() == [0, 0, 0]
    assert measure(find(np.empty((3, 0), np.int32), CHOSEN), 10).tolist() == [0, 0, 0]


def test_a_request_without_relevant_items_is_refused():
    with pytest.raises(ValueError, match="1 of 2 requests have no relevant item"):
        find(lists([1], [2]), relevant_of({1: 1}, {}))


def test_numbers_of_requests_must_agree():
    with pytest.raises(ValueError, match="1 ranked lists for 3 requests"):
        find(lists([1]), CHOSEN)


def test_gains_must_be_positive():
    with pytest.raises(ValueError, match="gains must be positive"):
        find(lists([1]), relevant_of({1: 0.0}))


def test_only_some_relevant_items_drops_emptied_requests():
    cold = np.array([False, True, True, False, True, False])
    found = find(SHOWN, CHOSEN).only(cold)
    assert found.relevant.items.tolist() == [8, 9, 1]
    assert recall(found, 4) == pytest.approx([1 / 2, 0])


def test_only_some_requests():
    found = find(SHOWN, CHOSEN).of(np.array([True, False, True]))
    assert recall(found, 4) == pytest.approx([2 / 3, 0])


def test_blocks_change_nothing():
    assert find(SHOWN, CHOSEN, block=1).ranks.tolist() == find(SHOWN, CHOSEN).ranks.tolist()


@st.composite
def shops(draw):
    """Some requests over twelve items: (ranked lists, relevant items with gains)."""
    count = draw(st.integers(1, 6))
    depth = draw(st.integers(0, 12))
    shown = [draw(st.permutations(range(12)))[:depth] for _ in range(count)]
    gains = st.sampled_from([0.5, 1.0, 2.0])
    chosen = [draw(st.dictionaries(st.integers(0, 11), gains, min_size=1, max_size=5)) for _ in range(count)]
    return lists(*shown), chosen


@given(shops(), st.integers(1, 15), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_permuting_requests_permutes_their_values(shop, k, random):
    shown, chosen = shop
    order = list(range(len(chosen)))
    random.shuffle(order)
    for measure in (*RANKED.values(), lambda found, _: r_precision(found)):
        straight = measure(find(shown, relevant_of(*chosen)), k)
        permuted = measure(find(shown[order], relevant_of(*(chosen[i] for i in order))), k)
        assert permuted == pytest.approx(straight[order])


@given(shops())
@settings(max_examples=60, deadline=None)
def test_recall_and_hit_rate_never_fall_with_k(shop):
    shown, chosen = shop
    found = find(shown, relevant_of(*chosen))
    for measure in (recall, hit_rate, mrr):
        by_k = [measure(found, k) for k in range(1, 14)]
        assert all((later >= earlier).all() for earlier, later in pairwise(by_k))


@given(shops(), st.integers(1, 15))
@settings(max_examples=60, deadline=None)
def test_every_measure_lies_between_zero_and_one(shop, k):
    shown, chosen = shop
    for measure in RANKED.values():
        values = measure(find(shown, relevant_of(*chosen)), k)
        assert ((values >= 0) & (values <= 1 + 1e-12)).all()


@given(shops(), st.integers(1, 15))
@settings(max_examples=60, deadline=None)
def test_the_ideal_order_scores_one(shop, k):
    _, chosen = shop
    ideal = lists(*(sorted(request, key=lambda item: -request[item]) for request in chosen))
    found = find(ideal, relevant_of(*chosen))
    for measure in (ndcg, binary_ndcg, mrr, hit_rate):
        assert measure(found, k) == pytest.approx(np.ones(len(chosen)))
