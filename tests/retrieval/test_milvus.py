import json
import time
from pathlib import Path

import numpy as np
import pytest
from milvus_lite.index.brute_force import BruteForceIndex

from configs.errors import InputError
from retrieval.filters import NOTHING, Allowed
from retrieval.index import ItemIndex
from retrieval.milvus import FACTS, MilvusIndex, connect
from retrieval.milvus_export import export_to_milvus
from tests.retrieval.clusters import draw

ITEMS, DIM = 600, 8
ALWAYS = np.zeros(ITEMS, np.int64), np.full(ITEMS, 100, np.int64)
VECTORS, QUERIES, _ = draw(ITEMS, DIM, 80)


@pytest.fixture(scope="module")
def index():
    return ItemIndex.build(np.arange(ITEMS), VECTORS, towers="abc")


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return str(tmp_path_factory.mktemp("milvus") / "shop.db")


@pytest.fixture(scope="module")
def exact(index, uri):
    fields = {"kind": ["even", "odd"] * (ITEMS // 2), "price": [float(item) for item in range(ITEMS - 1)] + [None]}
    return export_to_milvus(index, uri, "exact", *ALWAYS, fields=fields, kind="FLAT")


def test_it_answers_as_the_index_does(index, exact):
    items, scores = exact.search(QUERIES, 20)
    true, values = index.search(QUERIES, 20)
    np.testing.assert_allclose(scores, values, atol=1e-5)
    assert (items == true).mean() > 0.999  # where two score alike, float32 may swap them


def test_what_is_not_available_or_excluded_is_not_found(index, uri):
    since = np.where(np.arange(ITEMS) < 100, 0, 50)
    until = np.where(np.arange(ITEMS) % 2, 60, 90)
    found = export_to_milvus(index, uri, "opening", since, until, kind="FLAT")
    excluded = [NOTHING, np.arange(0, 50, dtype=np.int32), NOTHING, NOTHING]
    allowed = Allowed(since, until, np.array([10, 10, 55, 95]), excluded)
    items, scores = found.search(QUERIES[:4], 70, allowed)
    true, values = index.search(QUERIES[:4], 70, allowed)
    np.testing.assert_array_equal(np.sort(items), np.sort(true))
    np.testing.assert_allclose(scores, values, atol=1e-5)
    assert (items[1] >= 0).sum() == 50
    assert (items[3] == -1).all()


def test_nothing_is_indexed_in_the_background_while_it_is_loaded(index, uri, monkeypatch):
    def slow(self, path, save=BruteForceIndex.save):
        Path(path).touch()
        time.sleep(0.3)
        save(self, path)

    monkeypatch.setattr(BruteForceIndex, "save", slow)
    found = export_to_milvus(index, uri, "slow", *ALWAYS, kind="FLAT")
    assert (found.search(QUERIES[:5], 10)[0] >= 0).all()


def test_declared_fields_narrow_a_search(exact):
    items, _ = exact.narrowed('kind == "odd"').narrowed("price > 300").search(QUERIES[:5], 10)
    assert ((items % 2 == 1) & (items > 300) & (items < ITEMS - 1)).all()  # an unknown price passes no filter
    nothing, scores = exact.narrowed("price > 5000").search(QUERIES[:5], 10)
    assert (nothing == -1).all()
    assert np.isneginf(scores).all()


def test_a_filter_that_milvus_does_not_understand_is_told(exact):
    with pytest.raises(InputError, match=r"refused a search in exact_v1 where \(colour == 1\)"):
        exact.narrowed("colour == 1").search(QUERIES[:1], 10)


@pytest.mark.parametrize("kind", ["HNSW", "IVF_FLAT"])
def test_the_promise_is_kept_by_measurement(uri, kind):
    vectors, queries, fresh = draw(6000, DIM, 80, spread=2.0, apart=2.0)
    index, always = ItemIndex.build(np.arange(6000), vectors), (np.zeros(6000, np.int64), np.full(6000, 100))
    asked = {"queries": queries, "fresh": fresh, "target_recall": 0.9, "at_k": 20}
    found = export_to_milvus(index, uri, f"promised_{kind.lower()}", *always, kind=kind, **asked)
    promise = found.known.promise
    assert promise["validation"]["low"] >= 0.9
    assert promise["fresh"]["queries"] == len(fresh)
    assert list(found.known.reach) == [{"HNSW": "ef", "IVF_FLAT": "nprobe"}[kind]]
    # Cells are looked at one by one until it is enough: measured before its index is built, one would have seemed so.
    assert kind == "HNSW" or len(promise["tried"]) > 2
    true, _ = index.search(fresh, 20)
    items, _ = found.search(fresh, 20)
    assert np.mean([np.isin(one, other).mean() for one, other in zip(true, items, strict=True)]) > 0.85


def test_a_later_export_takes_its_place_and_leaves_the_one_before(index, uri):
    found = [export_to_milvus(index, uri, "again", *ALWAYS, kind="FLAT") for _ in range(3)]
    assert [one.known.collection for one in found] == ["again_v1", "again_v2", "again_v3"]
    client = connect(uri)
    assert sorted(one for one in client.list_collections() if one.startswith("again")) == ["again_v2", "again_v3"]
    assert len(client.search("again", data=[VECTORS[0]], limit=3)[0]) == 3
    assert client.list_aliases("again_v3")["aliases"] == ["again"]


def test_an_export_that_is_cut_off_changes_nothing(index, uri, monkeypatch):
    before = export_to_milvus(index, uri, "cut", *ALWAYS, kind="FLAT")

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("retrieval.milvus_export._promised", fail)
    with pytest.raises(KeyboardInterrupt):
        export_to_milvus(index, uri, "cut", *ALWAYS, kind="FLAT")
    client = connect(uri)
    assert [one for one in client.list_collections() if one.startswith("cut")] == ["cut_v1"]
    assert client.list_aliases("cut_v1")["aliases"] == ["cut"]
    assert before.search(QUERIES[:1], 3)[0].min() >= 0


def test_what_is_written_down_finds_the_collection_again(exact, tmp_path):
    exact.save(tmp_path)
    again = MilvusIndex.load(tmp_path, towers="abc")
    assert again.known == exact.known
    np.testing.assert_array_equal(again.search(QUERIES[:3], 5)[0], exact.search(QUERIES[:3], 5)[0])
    with pytest.raises(InputError, match=r"other towers \(abc, but other ask\)"):
        MilvusIndex.load(tmp_path, towers="other")
    told = json.loads((tmp_path / FACTS).read_text())
    (tmp_path / FACTS).write_text(json.dumps({**told, "collection": "gone_v9"}))
    with pytest.raises(InputError, match="has no collection gone_v9"):
        MilvusIndex.load(tmp_path)
    (tmp_path / FACTS).write_text(json.dumps({**told, "format": 99}))
    with pytest.raises(InputError, match="format 99, but 1"):
        MilvusIndex.load(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "our shop"}, "letters, digits and underscores"),
        ({"kind": "MAGIC"}, "no kind of index is called 'MAGIC'"),
        ({"kind": "HNSW"}, "50 queries or more, got 0"),
        ({"fields": {"vector": [1] * ITEMS}}, "cannot be the name of a field"),
        ({"fields": {"size": [1] * 5}}, "has 5 values for item codes up to 599"),
        ({"fields": {"size": [1, "b"] * (ITEMS // 2)}}, "mixes int, str"),
        ({"fields": {"size": [None] * ITEMS}}, "unknown of every item"),
    ],
)
def test_what_milvus_cannot_have_is_refused_before_anything_is_written(index, uri, wrong, said):
    given = {"name": "wrong", "kind": "FLAT", **wrong}
    with pytest.raises(InputError, match=said):
        export_to_milvus(index, uri, given.pop("name"), *ALWAYS, **given)
    assert not [one for one in connect(uri).list_collections() if one.startswith("wrong")]


def test_vectors_of_another_width_are_refused(exact):
    with pytest.raises(InputError, match="8-wide"):
        exact.search(QUERIES[:, :4], 5)


def test_nobody_answering_is_told():
    with pytest.raises(InputError, match=r"no Milvus answers at http://localhost:1"):
        connect("http://localhost:1")
