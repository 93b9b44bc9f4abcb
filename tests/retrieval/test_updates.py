import json
import signal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from retrieval import storage, updates
from retrieval.index import ItemIndex
from retrieval.recall import Recall
from retrieval.updates import drift, remove, upsert
from tests.processes import exit_code
from tests.retrieval.clusters import draw

VECTORS, QUERIES, FRESH = draw(3000, 16, 60)
FAMILIES = ("ivf-flat", "ivf-sq8", "ivf-pq", "hnsw")


@pytest.fixture(scope="module", params=FAMILIES)
def approximate(request):
    return build(request.param)


def build(family):
    with pytest.MonkeyPatch.context() as patch:
        # Whatever the machine's mood, no exact index here.
        patch.setattr("retrieval.promise.seconds_per_query", lambda searches, *_: [1.0] + [0.5] * (len(searches) - 1))
        return ItemIndex.build(
            np.arange(3000), VECTORS, QUERIES, at_k=10, families=(family,), towers="t1", gpus=0, target_recall=0.9
        )


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_an_exact_index_after_updates_is_one_built_of_what_is_left(data):
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shop = dict(enumerate(random.integers(1, 4, (6, 3)).astype(np.float32)))
    index = ItemIndex.build(np.array(list(shop)), np.array(list(shop.values())), gpus=0)
    for number in range(data.draw(st.integers(1, 5))):
        if random.random() < 0.5 and len(shop) > 2:
            ids = random.choice(sorted(shop), 2, replace=False)
            index = remove(index, ids, gpus=0)
            for item in ids:
                del shop[item]
        else:
            ids = random.choice(12, 3, replace=False)
            vectors = random.integers(1, 4, (3, 3)).astype(np.float32)
            index = upsert(index, ids, vectors, gpus=0)
            shop.update(zip(ids.tolist(), vectors, strict=True))
        assert index.version == number + 2
    right = ItemIndex.build(np.array(list(shop)), np.array(list(shop.values())), gpus=0)
    queries = random.integers(-3, 4, (8, 3)).astype(np.float32)
    for found, expected in zip(index.search(queries, 9), right.search(queries, 9), strict=True):
        assert found.tolist() == expected.tolist()


def test_what_is_removed_is_found_no_more_and_what_comes_is(approximate):
    best = np.unique(approximate.search(QUERIES, 3)[0])
    without = remove(approximate, best, QUERIES, gpus=0)
    assert not np.isin(without.search(QUERIES, 50)[0], best).any()
    assert len(without) == 3000 - len(best)
    back = upsert(without, 5000 + np.arange(len(best)), VECTORS[best], QUERIES, gpus=0, towers="t1")
    # They stand where they stood, under their new ids.
    first, former = back.search(QUERIES, 1)[0][:, 0], approximate.search(QUERIES, 1)[0][:, 0]
    assert (np.append(np.arange(5000), best)[first] == former).mean() > 0.8
    assert (back.version, len(back)) == (3, 3000)
    # The first index never noticed.
    assert np.isin(approximate.search(QUERIES, 3)[0], best).all()
    assert (approximate.version, len(approximate)) == (1, 3000)


def test_a_replaced_item_is_found_by_its_new_vector_alone(approximate):
    moved = upsert(approximate, np.array([7]), -VECTORS[[7]], QUERIES, gpus=0)
    assert len(moved) == 3000
    assert moved.search(-VECTORS[[7]], 1)[0].tolist() == [[7]]
    assert 7 not in moved.search(VECTORS[[7]], 20)[0]


def test_tombstones_are_compacted_past_their_share_and_the_promise_holds_before_and_after(approximate):
    living = np.arange(3000)
    index, random = approximate, np.random.default_rng(0)
    for _ in range(4):
        gone = random.choice(living, 250, replace=False)
        living = np.setdiff1d(living, gone)
        index = remove(index, gone, QUERIES, compact_share=0.3, gpus=0)
        told = index.facts["promise"]
        assert told["validation"]["low"] >= 0.9
        assert len(index) == len(living) == 3000 - index.facts["updates"]["removed"]
    # 1000 of 3000 are more than three in ten: the fourth update put in anew what was left.
    assert index.facts["updates"] == {"upserted": 0, "removed": 1000, "compactions": 1}
    assert len(index.catalogue) == 2000
    assert sorted(index.catalogue.ids) == living.tolist()


def test_search_looks_further_where_the_promise_would_be_missed(approximate):
    """Items of another kind come, which the cells were not learned for."""
    others, queries, _ = draw(3000, 16, 60, seed=9, spread=1.5, apart=1.5)
    grown = upsert(approximate, 3000 + np.arange(3000), others, queries, gpus=0)
    assert grown.facts["promise"]["validation"]["low"] >= 0.9
    assert grown.facts["promise"]["reach"] >= approximate.facts["promise"]["reach"]
    assert drift(grown) == 0.5


def test_a_promise_that_nothing_keeps_is_refused(approximate, monkeypatch):
    monkeypatch.setattr(updates, "measure", lambda *_: Recall(0.5, 0.5, 60))
    with pytest.raises(InputError, match=r"no effort keeps the promise of recall@10 0.9.*former index stays in force"):
        remove(approximate, np.array([1]), QUERIES, gpus=0)


def test_wrong_updates_are_refused_in_a_sentence():
    index = ItemIndex.build(np.arange(3), np.eye(3, dtype=np.float32), towers="t1", gpus=0)
    with pytest.raises(InputError, match=r"2 of 3 ids to remove are not in the index \(first: \[7, 8\]\)"):
        remove(index, np.array([1, 7, 8]))
    with pytest.raises(InputError, match="all 3 items would be removed"):
        remove(index, np.arange(3))
    with pytest.raises(InputError, match=r"4 wide, but the index holds 3-wide"):
        upsert(index, np.array([5]), np.ones((1, 4)))
    with pytest.raises(InputError, match=r"of towers t2, but the index holds those of t1"):
        upsert(index, np.array([5]), np.ones((1, 3)), towers="t2")
    with pytest.raises(InputError, match="hold NaN"):
        upsert(index, np.array([5]), np.full((1, 3), np.nan))
    with pytest.raises(InputError, match="must be distinct"):
        upsert(index, np.array([5, 5]), np.ones((2, 3)))
    assert index.search(np.eye(3), 1)[0].tolist() == [[0], [1], [2]]


def test_an_approximate_index_asks_for_queries():
    with pytest.raises(InputError, match="0 queries came to measure the recall"):
        remove(build("ivf-flat"), np.array([1]))


def test_an_index_with_its_lists_on_disk_is_not_changed(tmp_path):
    build("ivf-flat").save(tmp_path)
    with pytest.raises(InputError, match="lists stay on disk cannot be changed; load it without mapped=True"):
        remove(ItemIndex.load(tmp_path, mapped=True), np.array([1]), QUERIES, gpus=0)
    assert len(remove(ItemIndex.load(tmp_path, gpus=0), np.array([1]), QUERIES, gpus=0)) == 2999


def test_an_updated_index_comes_back_from_disk_as_it_was(approximate, tmp_path):
    approximate.save(tmp_path)
    changed = remove(ItemIndex.load(tmp_path, gpus=0), np.arange(100), QUERIES, gpus=0)
    changed.save(tmp_path)
    loaded = ItemIndex.load(tmp_path, gpus=0, towers="t1")
    assert loaded.version == 2
    for one, two in zip(loaded.search(FRESH, 10), changed.search(FRESH, 10), strict=True):
        assert one.tolist() == two.tolist()
    assert len(list(tmp_path.iterdir())) == 4  # nothing of the former is left


def test_an_update_killed_anywhere_leaves_the_former_index_or_the_new_one(tmp_path):
    ItemIndex.build(np.arange(4), np.eye(4, dtype=np.float32), gpus=0).save(tmp_path)
    killed = 0
    while (code := exit_code(_update_and_die, tmp_path, killed)) == -signal.SIGKILL:
        index = ItemIndex.load(tmp_path, gpus=0)
        generation = json.loads((tmp_path / "index.json").read_text())["generation"]
        assert (generation, len(index)) in {(1, 4), (2, 3)}
        assert index.search(np.eye(4, dtype=np.float32)[[3]], 1)[0][0, 0] == (3 if generation == 1 else 0)
        if generation == 2:
            break
        killed += 1
    assert code == -signal.SIGKILL
    assert killed >= 5  # flushes and renames of two arrays and the facts
    remove(ItemIndex.load(tmp_path, gpus=0), np.array([0]), gpus=0).save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3  # what the killed ones left is gone


def _update_and_die(folder, step):
    """Remove item 3 and kill the process at so many calls of the system that change or flush the folder."""
    import os

    calls = iter(range(100))

    def mortal(real):
        def call(*arguments):
            if next(calls) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)

        return call

    storage.os.replace, storage.os.fsync = mortal(os.replace), mortal(os.fsync)
    remove(ItemIndex.load(folder, gpus=0), np.array([3]), gpus=0).save(folder)
