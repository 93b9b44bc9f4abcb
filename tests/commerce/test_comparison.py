import numpy as np
import pytest

from commerce.comparison import Asked, ItemFacts, Precision, compare
from commerce.intervals import paired
from commerce.metrics import Relevant, find, recall
from commerce.segments import Segment
from commerce.significance import randomisation_test, sums_by_user

RNG = np.random.default_rng(0)
REQUESTS, ITEMS = 40, 30
LISTS = {name: np.stack([RNG.permutation(ITEMS)[:10] for _ in range(REQUESTS)]).astype(np.int32) for name in "ab"}
RELEVANT = Relevant(
    np.arange(0, 2 * REQUESTS + 1, 2),
    np.stack([RNG.permutation(ITEMS)[:2] for _ in range(REQUESTS)]).ravel().astype(np.int32),
    np.ones(2 * REQUESTS, np.float32),
)
VECTORS = RNG.standard_normal((ITEMS, 4)).astype(np.float32)
FACTS = ItemFacts(
    np.arange(ITEMS),
    (np.arange(ITEMS) % 7).astype(np.int32),
    VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True),
    (np.arange(ITEMS) % 3 - 1).astype(np.int32),
)
ASKED = Asked(np.arange(REQUESTS, dtype=np.int32) // 2, RELEVANT, ITEMS, FACTS)
PRECISION = Precision(resamples=200, confidence=0.9, seed=3)


def compared(lists=LISTS, asked=ASKED, segments=()):
    return compare(lists, asked, [5, 10, 99], PRECISION, [("a", "b")], segments, [5])


def test_every_measure_of_every_system_has_an_interval_around_it():
    systems, paired_blocks, _ = compared()
    names = ("recall", "precision", "ndcg", "binary_ndcg", "mrr", "hit_rate", "map")
    names += ("coverage", "gini", "exposure_parity", "novelty", "tail_share")
    costly = {"category_diversity@5", "vector_diversity@5", "r_precision"}
    for block in [*systems.values(), *paired_blocks.values()]:
        assert set(block) == {f"{name}@{k}" for name in names for k in (5, 10, 99)} | costly
        for interval in block.values():
            assert interval["low"] <= interval["value"] <= interval["high"]


def test_a_paired_interval_is_that_of_the_difference_per_request():
    _, paired_blocks, _ = compared()
    a, b = (recall(find(LISTS[name], RELEVANT), 5) for name in "ab")
    expected = paired(a, b, ASKED.users, resamples=200, confidence=0.9, seed=3).as_dict()
    assert paired_blocks["a - b"]["recall@5"] == pytest.approx(expected, abs=1e-6)


def test_systems_measured_one_by_one_get_the_same_numbers(monkeypatch):
    together = compared()
    monkeypatch.setattr("commerce.comparison._CELLS", 1)
    assert compared() == together


def test_permuting_requests_changes_no_number():
    order = RNG.permutation(REQUESTS)
    items = RELEVANT.items.reshape(REQUESTS, 2)[order].ravel()
    asked = Asked(ASKED.users[order], Relevant(RELEVANT.offsets, items, RELEVANT.gains), ITEMS, FACTS)
    permuted = compared({name: ranked[order] for name, ranked in LISTS.items()}, asked)
    for block, other in zip(compared()[:2], permuted[:2], strict=True):
        for name, measures in block.items():
            for measure, interval in measures.items():
                assert other[name][measure] == pytest.approx(interval, abs=2e-6)


def test_p_values_are_those_of_the_randomisation_test_corrected_for_all_pairs_together():
    best = np.hstack([RELEVANT.items.reshape(REQUESTS, 2), np.full((REQUESTS, 8), -1)]).astype(np.int32)
    lists = {**LISTS, "c": LISTS["b"], "best": best}
    pairs = [("best", "b"), ("a", "b"), ("b", "c")]
    _, blocks, _ = compare(lists, ASKED, [5, 10], PRECISION, pairs, [], [5])
    tested = {(pair, name) for pair, block in blocks.items() for name, found in block.items() if "p" in found}
    assert tested == {(f"{a} - {b}", name) for a, b in pairs for name in ("ndcg@10", "recall@10")}
    a, b = (recall(find(LISTS[name], RELEVANT), 10) for name in "ab")
    sums = sums_by_user(a - b, ASKED.users, np.unique(ASKED.users))
    other_draws = randomisation_test(sums[:, None], draws=10_000, seed=7)[0]
    assert blocks["a - b"]["recall@10"]["p"] == pytest.approx(other_draws, abs=0.02)
    assert blocks["b - c"]["ndcg@10"]["p"] == blocks["b - c"]["ndcg@10"]["p_holm"] == 1
    least = blocks["best - b"]["ndcg@10"]
    assert least["p"] < 0.001
    assert least["p_holm"] == pytest.approx(6 * least["p"], abs=1e-5)


def test_a_segment_of_requests_is_measured_as_if_alone():
    first = np.repeat(np.arange(REQUESTS) < 10, 2)
    _, _, parts = compared(segments=[Segment("first", first, of_items=False)])
    alone = Asked(
        ASKED.users[:10],
        Relevant(RELEVANT.offsets[:11], RELEVANT.items[:20], RELEVANT.gains[:20]),
        ITEMS,
        FACTS,
    )
    systems, _, _ = compared({name: ranked[:10] for name, ranked in LISTS.items()}, alone)
    for name, measures in parts["first"].items():
        assert measures == {measure: systems[name][measure] for measure in measures}
        assert "coverage@5" in measures


def test_a_segment_of_items_counts_only_those():
    cold = RELEVANT.items < 4
    _, _, parts = compared(segments=[Segment("item: cold", cold, of_items=True)])
    expected = recall(find(LISTS["a"], RELEVANT).only(cold), 5).mean()
    assert parts["item: cold"]["a"]["recall@5"]["value"] == pytest.approx(expected, abs=1e-6)
    assert "coverage@5" not in parts["item: cold"]["a"]
