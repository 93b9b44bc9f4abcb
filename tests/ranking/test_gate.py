import numpy as np
import pytest

from commerce.metrics import Relevant
from ranking.gate import Judged, choose_weight, closed, collapsed, judge

OPTIONS = {"resamples": 300, "confidence": 0.95, "seed": 0}


def build(read_of, requests=400, depth=10, seed=0):
    """One relevant item in a random place of each list; ``read_of`` makes the cross-encoder's scores of [R, depth]."""
    draw = np.random.default_rng(seed)
    items = np.array([draw.permutation(1000)[: depth + 2] for _ in range(requests)], dtype=np.int32)
    place = draw.integers(0, depth, requests)
    wanted = items[np.arange(requests), place]
    retrieved = np.tile(np.linspace(1, 0, depth + 2, dtype=np.float32), (requests, 1))
    relevant = Relevant(np.arange(requests + 1), wanted, np.ones(requests, np.float32))
    is_wanted = (items[:, :depth] == wanted[:, None]).astype(np.float32)
    read = read_of(is_wanted, draw).astype(np.float32)
    return Judged(items, retrieved, read, relevant, np.arange(requests, dtype=np.int32) // 2)


def better(is_wanted, draw):
    return 2 * is_wanted + draw.normal(size=is_wanted.shape)


def noise(is_wanted, draw):
    return draw.normal(size=is_wanted.shape)


def test_a_planted_better_order_opens_the_gate():
    weight, tried = choose_weight(build(better))
    verdict = judge(build(better, seed=1), weight, **OPTIONS)
    assert tried[weight] > tried[0.0]
    assert verdict.shipped
    assert verdict.weight == weight > 0
    assert verdict.difference.low > 0
    assert verdict.reranked.value > verdict.blended.value
    assert "rises by +" in verdict.reason


def test_noise_closes_it_even_with_a_lucky_weight():
    # The retriever knows nothing here, so on fit a random order may be better by luck.
    verdict = judge(build(noise, seed=1), 0.5, **OPTIONS)
    assert not verdict.shipped
    assert verdict.weight == 0
    assert verdict.difference.low <= 0
    assert "which chance may explain" in verdict.reason


def test_a_worse_order_gets_no_weight():
    weight, _ = choose_weight(build(lambda wanted, draw: -better(wanted, draw)))
    verdict = judge(build(lambda wanted, draw: -better(wanted, draw), seed=1), weight, **OPTIONS)
    assert weight == 0
    assert not verdict.shipped
    assert verdict.reason == "no weight above 0 did better than the blended order on the fit half of validation"


def test_a_collapsed_ranker_is_named():
    same = build(lambda wanted, draw: np.full(wanted.shape, 3.0))
    assert collapsed(same.read, same.items[:, :10] >= 0)
    assert not collapsed(build(noise).read, same.items[:, :10] >= 0)
    weight, _ = choose_weight(same)
    assert weight == 0  # of equal weights the smallest
    assert "has learned no order" in judge(same, weight, **OPTIONS).reason


def test_requests_of_one_user_count_as_one_draw():
    judged = build(better)
    one = Judged(judged.items, judged.retrieved, judged.read, judged.relevant, np.zeros(400, np.int32))
    verdict = judge(one, 0.5, **OPTIONS)
    assert verdict.users == 1
    assert verdict.difference.low == verdict.difference.high  # one user: nothing to resample


def test_an_empty_gate_half_ships_nothing():
    empty = Judged(
        np.zeros((0, 12), np.int32),
        np.zeros((0, 12), np.float32),
        np.zeros((0, 10), np.float32),
        Relevant(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)),
        np.zeros(0, np.int32),
    )
    assert choose_weight(empty)[0] == 0
    assert judge(empty, 0.5, **OPTIONS) == closed("the gate half of validation holds no request")


def test_the_verdict_is_plain_json():
    found = judge(build(better), 0.5, **OPTIONS).as_json()
    assert found["shipped"] is True
    assert set(found["ndcg@10"]) == {"blended", "reranked"}
    assert found["paired"]["low"] == pytest.approx(found["paired"]["low"])
    assert closed("why").as_json()["paired"] is None
