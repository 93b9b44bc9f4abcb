import numpy as np
import pytest

from commerce.metrics import Relevant
from retrieval.blending import blend
from retrieval.weights import Blend, learn_blend, learn_blends, surely_better

REQUESTS, K = 60, 20
RNG = np.random.default_rng(0)
RELEVANT = Relevant(
    np.arange(REQUESTS + 1), RNG.integers(0, 100, REQUESTS).astype(np.int32), np.ones(REQUESTS, np.float32)
)


def lists(place):
    """Random items with the relevant one at ``place`` (per request), absent for -1."""
    items = np.stack([RNG.permutation(np.setdiff1d(np.arange(100), [item]))[:K] for item in RELEVANT.items])
    for row, at in enumerate(np.broadcast_to(place, REQUESTS)):
        if at >= 0:
            items[row, at] = RELEVANT.items[row]
    return items.astype(np.int32)


def test_a_source_of_noise_is_not_listened_to():
    blended = learn_blend({"noise": lists(-1), "good": lists(1)}, RELEVANT, 60.0)
    assert blended.weights["good"] == 1.0
    assert blended.weights["noise"] < 0.1
    assert blended.ndcg["good"] == pytest.approx(1 / np.log2(3), abs=1e-5)
    assert blended.ndcg["noise"] == 0.0
    assert blended.ndcg["blend"] >= blended.ndcg["good"] > blended.ndcg["equal"]


def test_two_halves_of_the_truth_are_better_together():
    half = np.arange(REQUESTS) % 2 == 0
    sources = {"even": lists(np.where(half, 3, -1)), "odd": lists(np.where(half, -1, 3))}
    blended = learn_blend(sources, RELEVANT, 60.0)
    assert blended.ndcg["blend"] > 1.2 * max(blended.ndcg["even"], blended.ndcg["odd"])
    assert blended.requests == REQUESTS


def test_the_figure_is_what_the_blend_itself_gives():
    sources = {"a": lists(2), "b": lists(RNG.integers(-1, 10, REQUESTS)), "c": lists(RNG.integers(-1, 10, REQUESTS))}
    learned = learn_blend(sources, RELEVANT, 60.0)
    scored = {name: (items, np.zeros(items.shape, np.float32)) for name, items in sources.items()}
    found = blend(scored, 10, learned.rank_constant, learned.weights)
    _, columns = np.nonzero(found.items == RELEVANT.items[:, None])
    assert learned.ndcg["blend"] == pytest.approx((1 / np.log2(columns + 2)).sum() / REQUESTS, abs=1e-5)


def test_nothing_to_learn_from_is_an_equal_blend():
    nobody = Relevant(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    assert learn_blend({"a": np.empty((0, 5), np.int32)}, nobody, 60.0) == Blend({"a": 1.0}, 60.0, 0, {})


def test_a_source_that_finds_nothing_does_no_harm():
    nothing = np.full((REQUESTS, K), -1, np.int32)
    blended = learn_blend({"repeats": nothing, "good": lists(0)}, RELEVANT, 60.0)
    assert blended.ndcg["blend"] == 1.0
    blended = learn_blend({"repeats": nothing}, RELEVANT, 60.0)
    assert blended.ndcg["blend"] == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_luck_changes_nothing(seed):
    """A source that finds what is wanted in one of twelve requests, by chance, is not listened to."""
    rng = np.random.default_rng(seed)
    sources = {"good": lists(rng.integers(0, 6, REQUESTS))}
    for n in range(4):
        sources[f"noise {n}"] = lists(np.where(rng.random(REQUESTS) < 1 / 12, rng.integers(0, K, REQUESTS), -1))
    learned = learn_blend(sources, RELEVANT, 60.0)
    assert [name for name, weight in learned.weights.items() if weight > 1e-3] == ["good"]
    assert learned.rank_constant == 60.0


def test_surely_better_is_better_by_more_than_two_standard_errors():
    old = np.zeros(100)
    new = np.where(np.arange(100) < 5, 1.0, 0.0)  # mean .05, standard error .0218
    assert surely_better(new, old)
    new[50:52] = -1.0  # mean .03, standard error .0263
    assert not surely_better(new, old)
    assert not surely_better(old, old)


def test_search_terms_have_a_blend_of_their_own():
    searched = np.arange(REQUESTS) % 2 == 0
    sources = {"browsing": lists(np.where(searched, -1, 0)), "searching": lists(np.where(searched, 0, -1))}
    queries = ["tea" if one else "" for one in searched]
    blends = learn_blends(sources, RELEVANT, queries, "keep_seen", 60.0)
    assert set(blends) == {"keep_seen", "keep_seen_query"}
    assert [blend.requests for blend in blends.values()] == [REQUESTS // 2] * 2
    assert blends["keep_seen"].weights["browsing"] == blends["keep_seen_query"].weights["searching"] == 1.0
    assert blends["keep_seen"].weights["searching"] < 0.1 > blends["keep_seen_query"].weights["browsing"]


def test_where_nobody_searched_the_other_blend_answers_searches():
    sources = {"a": lists(0), "b": lists(-1)}
    blends = learn_blends(sources, RELEVANT, [""] * REQUESTS, "keep_seen", 60.0)
    assert blends["keep_seen_query"].weights == blends["keep_seen"].weights
    assert (blends["keep_seen_query"].requests, blends["keep_seen_query"].ndcg) == (0, {})
