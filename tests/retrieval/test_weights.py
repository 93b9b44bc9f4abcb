import numpy as np
import pytest

from commerce.metrics import Relevant
from retrieval.blending import blend
from retrieval.weights import Blend, learn_blend

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
