import json

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.filters import NOTHING, Allowed
from retrieval.index import ItemIndex


def brute(ids, vectors, query, k, may):
    """Score everything in double precision and sort by (score desc, id asc)."""
    scores = (vectors.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
    order = sorted((row for row in range(len(ids)) if may(ids[row])), key=lambda row: (-scores[row], ids[row]))[:k]
    return [int(ids[row]) for row in order], [float(scores[row]) for row in order]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_search_equals_scoring_everything(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    items, dim, requests = data.draw(st.tuples(st.integers(1, 60), st.integers(1, 5), st.integers(1, 30)))
    k = data.draw(st.integers(1, 70))
    # Small whole numbers: many ties, and sums that no order of adding changes.
    ids = np.sort(rng.choice(100, items, replace=False))
    rng.shuffle(ids)
    vectors = rng.integers(-2, 3, (items, dim)).astype(np.float32)
    vectors[~vectors.any(axis=1)] = 1.0
    queries = rng.integers(-2, 3, (requests, dim)).astype(np.float32)
    start, until = rng.integers(0, 6, 100), rng.integers(3, 9, 100)
    moment = rng.integers(0, 9, requests)
    excluded = [rng.choice(100, rng.integers(0, 100)).astype(np.int32) for _ in range(requests)]
    index = ItemIndex.build(ids, vectors)
    found, scores = index.search(queries, k, Allowed(start, until, moment, excluded))
    for row in range(requests):

        def may(item, row=row):
            return start[item] <= moment[row] < until[item] and item not in excluded[row]

        right, best = brute(ids, vectors, queries[row], k, may)
        assert found[row].tolist() == right + [-1] * (k - len(right))
        assert scores[row].tolist() == best + [-np.inf] * (k - len(right))


@pytest.fixture(scope="module")
def unit():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3000, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_request_is_answered_alone_as_in_a_batch(unit):
    index = ItemIndex.build(np.arange(3000), unit)
    together, scores = index.search(unit[:300], 20)
    assert together[:, 0].tolist() == list(range(300))
    for row in (0, 7, 299):
        alone, score = index.search(unit[row : row + 1], 20)
        assert alone[0].tolist() == together[row].tolist()
        assert score[0].tolist() == scores[row].tolist()


def test_a_user_who_has_seen_nearly_everything_still_gets_the_true_top(unit):
    index = ItemIndex.build(np.arange(3000), unit)
    left = np.array([5, 1234, 2999])
    seen = np.setdiff1d(np.arange(3000), left).astype(np.int32)
    allowed = Allowed(np.zeros(3000, np.int64), np.ones(3000, np.int64), np.zeros(2, np.int64), [seen, NOTHING])
    items, _ = index.search(unit[[77, 77]], 3, allowed)
    assert items[0].tolist() == left[np.argsort(-(unit[left] @ unit[77]))].tolist()
    assert items[1, 0] == 77


def test_equal_vectors_come_in_order_of_id():
    index = ItemIndex.build(np.array([30, 10, 20]), np.ones((3, 2), np.float32))
    assert index.search(np.ones((1, 2)), 2)[0].tolist() == [[10, 20]]


def test_k_beyond_the_catalogue_is_padded():
    index = ItemIndex.build(np.array([4, 9]), np.eye(2, dtype=np.float32))
    items, scores = index.search(np.array([[1.0, 0.5]]), 4)
    assert items.tolist() == [[4, 9, -1, -1]]
    assert scores.tolist() == [[1.0, 0.5, -np.inf, -np.inf]]


def test_what_was_saved_answers_alike(unit, tmp_path):
    built = ItemIndex.build(np.arange(0, 6000, 2), unit)
    built.save(tmp_path / "index")
    loaded = ItemIndex.load(tmp_path / "index")
    assert (len(loaded), loaded.dim) == (3000, 16)
    for one, other in zip(built.search(unit[:50], 10), loaded.search(unit[:50], 10), strict=True):
        assert one.tolist() == other.tolist()


class Gpu:
    """Stands in for a GPU index: the same answers, no more than 2,048 neighbours, and nothing else."""

    def __init__(self, flat):
        self._flat, self.asked = flat, []

    def search(self, vectors, k):
        assert k <= 2048
        self.asked.append(k)
        return self._flat.search(vectors, k)


def test_a_gpu_that_faiss_sees_is_searched_and_never_saved(unit, tmp_path, monkeypatch):
    on_host = ItemIndex.build(np.arange(3000), unit)
    gpus = []
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(
        faiss, "index_cpu_to_all_gpus", lambda flat, ngpu: gpus.append(Gpu(flat)) or gpus[-1], raising=False
    )
    index = ItemIndex.build(np.arange(3000), unit)
    assert index.on_gpu
    for k in (10, 1500):  # the second asks for more than a GPU gives
        assert index.search(unit[:3], k)[0].tolist() == on_host.search(unit[:3], k)[0].tolist()
    assert gpus[0].asked
    index.save(tmp_path)
    assert ItemIndex.load(tmp_path, gpus=0).search(unit[:3], 5)[0].tolist() == on_host.search(unit[:3], 5)[0].tolist()


@pytest.mark.parametrize(
    ("ids", "vectors", "message"),
    [
        ([], np.zeros((0, 3)), "at least one item"),
        ([1, 2], np.zeros((3, 3)), r"2 ids and vectors of shape \(3, 3\)"),
        ([1, 1, 2], np.ones((3, 3)), r"distinct and not negative, but 1 are not \(first: \[1\]\)"),
        ([-1, 1], np.ones((2, 3)), r"not negative, but 1 are not \(first: \[-1\]\)"),
        ([1, 2, 8], np.array([[0.0], [np.inf], [np.nan]]), r"2 of 3 item vectors hold NaN.*items \[2, 8\]"),
        ([1, 2], np.array([[0.0, 0.0], [0.0, 1.0]]), r"1 of 2 item vectors are all zeros \(first: items \[1\]\)"),
    ],
)
def test_what_cannot_be_indexed_is_refused(ids, vectors, message):
    with pytest.raises(ValueError, match=message):
        ItemIndex.build(np.array(ids, dtype=np.int64), vectors)


@pytest.mark.parametrize(
    ("queries", "k", "allowed", "message"),
    [
        (np.zeros((1, 3)), 1, None, r"queries have shape \(1, 3\), but the index holds 2-wide"),
        (np.zeros(2), 1, None, r"queries have shape \(2,\)"),
        (np.array([[0.0, 1.0], [np.nan, 0.0]]), 1, None, r"1 of 2 query vectors.*rows \[1\]"),
        (np.zeros((1, 2)), 0, None, "k must be at least 1, got 0"),
        (np.zeros((1, 2)), 1, Allowed.everything(2, 3), "filters are for 3 requests, but 1 came"),
    ],
)
def test_what_cannot_be_asked_is_refused(queries, k, allowed, message):
    index = ItemIndex.build(np.arange(2), np.eye(2))
    with pytest.raises(ValueError, match=message):
        index.search(queries, k, allowed)


def test_a_folder_that_is_no_index_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"lacks index.json; run `mercato index"):
        ItemIndex.load(tmp_path)
    ItemIndex.build(np.arange(2), np.eye(2)).save(tmp_path)
    np.save(tmp_path / "ids.1.npy", np.arange(3))
    with pytest.raises(ValueError, match=r"do not belong together: .*ids.1.npy 3"):
        ItemIndex.load(tmp_path)
    (tmp_path / "index.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(ValueError, match="format 99, but 3 was expected"):
        ItemIndex.load(tmp_path)
    ItemIndex.build(np.arange(2), np.eye(2)).save(tmp_path)
    (tmp_path / "items.1.faiss").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"items.1.faiss is not a FAISS index"):
        ItemIndex.load(tmp_path)
