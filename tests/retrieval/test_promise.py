import json

import numpy as np
import pytest

from configs.errors import InputError
from retrieval import promise as promises
from retrieval.filters import NOTHING, Allowed
from retrieval.index import ItemIndex
from retrieval.promise import said
from tests.retrieval.clusters import draw

ITEMS, DIM, K = 20_000, 32, 100
VECTORS, QUERIES, FRESH = draw(ITEMS, DIM, 400)
TRUE = np.argsort(-(FRESH @ VECTORS.T), axis=1, kind="stable")


@pytest.fixture(scope="module")
def built():
    families = ("flat", "ivf-flat", "ivf-sq8", "ivf-pq")
    return ItemIndex.build(np.arange(ITEMS), VECTORS, QUERIES, fresh=FRESH, families=families, gpus=0)


def recall(found, right):
    return np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), right.tolist(), strict=True)])


def test_the_promise_is_kept_on_fresh_queries_and_faster_than_exact(built):
    facts = built.facts["promise"]
    assert not built.exact
    assert facts["validation"]["low"] >= 0.95
    assert recall(built.search(FRESH, K)[0], TRUE[:, :K]) >= 0.94
    # What is told of fresh queries is what a reader counts by hand.
    assert facts["fresh"]["mean"] == pytest.approx(recall(built.search(FRESH, K)[0], TRUE[:, :K]), abs=1e-3)
    assert facts["latency_ms"] < facts["exact"]["latency_ms"]
    assert said(facts).startswith(f"{facts['structure']} at reach {facts['reach']}")


def test_scores_are_exact_and_lists_ordered(built):
    items, scores = built.search(FRESH[:20], 30)
    true = np.einsum("rkd,rd->rk", VECTORS[items], FRESH[:20], dtype=np.float64).astype(np.float32)
    assert scores.tolist() == true.tolist()
    assert (np.diff(scores, axis=1) <= 0).all()


def test_a_list_longer_than_promised_is_looked_for_further(built):
    # Without a promise, but not with that of another list: as far as for 100, it would be .89.
    assert recall(built.search(FRESH, 300)[0], TRUE[:, :300]) >= 0.92


def test_no_point_of_the_front_beats_another(built):
    front = built.facts["promise"]["front"]
    goods = [(p["recall"], p["queries_per_second"], -p["bytes"], -p["build_seconds"]) for p in front]
    for one in goods:
        assert not any(other != one and all(np.greater_equal(other, one)) for other in goods)
    assert {"flat"} < {point["family"] for point in front}


@pytest.mark.parametrize("kind", ["any items", "one side"])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0.001])
def test_filtered_lists_keep_the_promise(built, share, kind):
    rng = np.random.default_rng(3)
    if kind == "any items":
        passing = rng.random(ITEMS) < share
    else:
        side = VECTORS @ rng.normal(size=DIM)
        passing = side > np.quantile(side, 1 - share)
    since = np.where(passing, 0, 9)
    allowed = Allowed(since, np.full(ITEMS, 9), np.full(len(FRESH), 5), [NOTHING] * len(FRESH))
    items, _ = built.search(FRESH, K, allowed)
    k = min(K, int(passing.sum()))
    assert (items[:, :k] >= 0).all()
    assert (items[:, k:] == -1).all()
    assert passing[items[:, :k]].all()
    right = [row[passing[row]][:k] for row in TRUE]
    assert recall(items[:, :k], np.array(right)) >= 0.95


def test_what_a_user_excludes_makes_room_for_the_next(built):
    excluded = [row[: 5 + 40 * (number % 3)].astype(np.int32) for number, row in enumerate(TRUE)]
    allowed = Allowed(np.zeros(ITEMS, int), np.full(ITEMS, 9), np.full(len(FRESH), 5), excluded)
    items, _ = built.search(FRESH, K, allowed)
    assert not any(set(row) & set(gone) for row, gone in zip(items.tolist(), excluded, strict=True))
    right = np.array([row[len(gone) : len(gone) + K] for row, gone in zip(TRUE, excluded, strict=True)])
    assert recall(items, right) >= 0.95


def test_a_filter_that_nothing_passes_gives_empty_lists(built):
    nothing = Allowed(np.full(ITEMS, 9), np.full(ITEMS, 9), np.zeros(3, int), [NOTHING] * 3)
    items, scores = built.search(FRESH[:3], K, nothing)
    assert (items == -1).all()
    assert np.isneginf(scores).all()


def test_what_was_saved_answers_alike_and_says_how_it_was_chosen(built, tmp_path):
    built.save(tmp_path)
    loaded = ItemIndex.load(tmp_path, gpus=0)
    for one, other in zip(built.search(FRESH[:50], 10), loaded.search(FRESH[:50], 10), strict=True):
        assert one.tolist() == other.tolist()
    facts = json.loads((tmp_path / "index.json").read_text())
    assert facts["exact"] is False
    assert facts["faiss"]
    assert {"front", "why", "validation", "fresh", "filters", "seed", "bytes", "bound"} <= set(facts["promise"])


def test_a_catalogue_that_exact_search_answers_soon_enough_stays_exact():
    index = ItemIndex.build(np.arange(ITEMS), VECTORS, QUERIES, exact_below_ms=1000.0, gpus=0)
    assert index.exact
    assert "within the 1000 ms that are set" in said(index.facts["promise"])


@pytest.mark.parametrize(
    ("queries", "target", "why"),
    [(QUERIES, 1.0, "the promise is exact search"), (QUERIES[:49], 0.9, "49 queries are too few")],
)
def test_what_cannot_be_promised_less_is_exact(queries, target, why):
    index = ItemIndex.build(np.arange(ITEMS), VECTORS, queries, target_recall=target, gpus=0)
    assert index.exact
    assert why in index.facts["promise"]["why"]
    assert recall(index.search(FRESH[:20], K)[0], TRUE[:20, :K]) == 1.0


def test_nothing_slower_than_exact_search_is_chosen(monkeypatch):
    monkeypatch.setattr(promises, "seconds_per_query", lambda searches, *_: [1e-3] + [2e-3] * (len(searches) - 1))
    index = ItemIndex.build(np.arange(ITEMS), VECTORS, QUERIES, families=("ivf-flat",), gpus=0)
    assert index.exact
    assert index.facts["promise"]["why"] == "no structure that keeps the promise is faster than exact search"


def test_memory_is_bounded_or_the_promise_refused():
    raw = VECTORS.nbytes
    index = ItemIndex.build(
        np.arange(ITEMS), VECTORS, QUERIES, budget_bytes=raw // 2, families=("ivf-flat", "ivf-sq8"), gpus=0
    )
    assert index.facts["promise"]["family"] == "ivf-sq8"
    assert index.facts["promise"]["bytes"] <= raw // 2
    for budget, target in ((1000, 0.95), (raw // 2, 1.0)):
        with pytest.raises(
            InputError, match=rf"no index of {budget:,} bytes keeps .* exact search takes {raw:,} bytes"
        ):
            ItemIndex.build(
                np.arange(ITEMS), VECTORS, QUERIES, budget_bytes=budget, target_recall=target, families=("ivf-sq8",)
            )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"target_recall": 0.0}, "a recall of 0 cannot be promised"),
        ({"target_recall": 1.1}, "a recall of 1.1 cannot be promised"),
        ({"at_k": 0}, "got at_k=0"),
        ({"tune_for": "speed"}, "latency or throughput, got 'speed'"),
        ({"families": ("ivf",)}, "no family of indexes is called 'ivf'"),
    ],
)
def test_promises_that_make_no_sense_are_refused(setting, message):
    with pytest.raises(InputError, match=message):
        ItemIndex.build(np.arange(ITEMS), VECTORS, QUERIES, **setting)


def test_lengths_other_than_one_are_warned_of_where_they_may_surprise():
    long = VECTORS.copy()
    long[7] *= 3
    with pytest.warns(UserWarning, match=r"1 of 20,000 item vectors are not of unit length \(first: items \[7\]\)"):
        ItemIndex.build(np.arange(ITEMS), long, QUERIES, exact_below_ms=1000.0, gpus=0)


def test_a_graph_keeps_the_promise_too():
    vectors, queries, fresh = draw(2000, 16, 100)
    index = ItemIndex.build(np.arange(2000), vectors, queries, families=("hnsw",), tune_for="throughput", gpus=0)
    true = np.argsort(-(fresh @ vectors.T), axis=1, kind="stable")[:, :K]
    assert recall(index.search(fresh, K)[0], true) >= 0.94
