import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from retrieval.filters import Allowed
from retrieval.index import ItemIndex
from retrieval.index_folder import files_of, open_index
from retrieval.sharded import ShardedIndex, share
from tests.retrieval.clusters import draw

VECTORS, QUERIES, FRESH = draw(4000, 16, 60)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), shard_items=st.integers(1, 50), k=st.integers(1, 40))
def test_shards_answer_as_one_index_of_all_items(tmp_path_factory, seed, shard_items, k):
    random = np.random.default_rng(seed)
    items = int(random.integers(1, 40))
    ids = random.choice(60, items, replace=False)
    vectors = random.integers(1, 4, (items, 3)).astype(np.float32)  # many ties
    queries = random.integers(-2, 3, (7, 3)).astype(np.float32)
    excluded = [random.choice(60, 10).astype(np.int32) for _ in range(7)]
    allowed = Allowed(np.zeros(60, np.int64), random.integers(0, 3, 60), np.ones(7, np.int64), excluded)
    folder = tmp_path_factory.mktemp("shards")
    shards = ShardedIndex.build(folder, ids, vectors, queries, shard_items=shard_items, target_recall=1.0, gpus=0)
    whole = ItemIndex.build(ids, vectors, gpus=0)
    assert len(shards) == items
    assert len(shards.shards) == -(-items // shard_items)
    for filter_ in (None, allowed):
        for found, right in zip(shards.search(queries, k, filter_), whole.search(queries, k, filter_), strict=True):
            assert found.tolist() == right.tolist()


@pytest.fixture(scope="module", params=["ivf-flat", "ivf-sq8", "ivf-pq"])
def sharded(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    with pytest.MonkeyPatch.context() as patch:
        # Whatever the machine's mood, no exact index here.
        patch.setattr("retrieval.promise.seconds_per_query", lambda searches, *_: [1.0] + [0.5] * (len(searches) - 1))
        ShardedIndex.build(
            folder, np.arange(4000), VECTORS, QUERIES, shard_items=1500, fresh=FRESH, at_k=10, towers="t1", gpus=0,
            target_recall=0.9, families=(request.param,),
        )  # fmt: skip
    return folder


def test_the_whole_keeps_the_promise_of_its_shards_on_queries_it_never_saw(sharded):
    index = ShardedIndex.load(sharded, "t1")
    assert [len(shard) for shard in index.shards] == [1334, 1333, 1333]
    assert index.facts["validation"]["low"] >= 0.9
    truth = ItemIndex.build(np.arange(4000), VECTORS, gpus=0).search(FRESH, 10)[0]
    found = index.search(FRESH, 10)[0]
    recall = np.mean([len(np.intersect1d(*rows)) / 10 for rows in zip(truth, found, strict=True)])
    assert index.facts["fresh"]["mean"] == pytest.approx(recall, abs=1e-6)
    assert recall >= 0.9 - 0.01


def test_a_shard_is_built_for_its_share_of_a_list_and_a_margin(sharded):
    # Ten items over three shards: 3.33 each, and four standard deviations of 1.49.
    assert share(10, 3) == 10
    assert share(100, 5) == 36
    assert share(7, 1) == 7
    index = ShardedIndex.load(sharded)
    assert [shard.facts["promise"]["at_k"] for shard in index.shards] == [10, 10, 10]


def test_a_list_that_lies_in_one_shard_is_found_whole(tmp_path):
    # 40 items near the query, all of which chance gave to one shard; each is asked for 14 + 4 x 2.7 at first.
    near = np.sort(np.array_split(np.random.default_rng([0, 9]).permutation(4000), 4)[2])[:40]
    vectors = VECTORS.copy()
    vectors[near] = FRESH[0] + np.linspace(0.01, 0.02, 40)[:, None] * np.ones(16)
    index = ShardedIndex.build(
        tmp_path, np.arange(4000), vectors, QUERIES, shard_items=1000, target_recall=1.0, at_k=40, gpus=0
    )
    assert share(40, 4) < 40
    assert sorted(index.search(5 * FRESH[:1], 40)[0][0]) == near.tolist()


def test_shards_look_further_where_the_whole_misses_the_promise(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("retrieval.promise.seconds_per_query", lambda searches, *_: [1.0] + [0.5] * (len(searches) - 1))
        # Each shard promises little and the whole much, as where the queries that a shard was built by tell nothing.
        built = ItemIndex.build
        patch.setattr(ItemIndex, "build", lambda *args, **promise: built(*args, **{**promise, "target_recall": 0.3}))
        index = ShardedIndex.build(
            tmp_path, np.arange(4000), VECTORS, QUERIES, shard_items=1000, at_k=40, target_recall=0.95, gpus=0,
            families=("ivf-flat",),
        )  # fmt: skip
    assert index.facts["further"] > 0
    assert index.facts["validation"]["low"] >= 0.95
    again = ShardedIndex.load(tmp_path)
    assert again.recall(QUERIES, 40).mean == pytest.approx(index.facts["validation"]["mean"], abs=1e-9)


def test_an_index_of_either_kind_is_opened_and_its_files_are_told(tmp_path, sharded):
    ItemIndex.build(np.arange(4000), VECTORS).save(tmp_path)
    assert isinstance(open_index(tmp_path), ItemIndex)
    assert isinstance(open_index(sharded, "t1"), ShardedIndex)
    assert sorted(files_of(tmp_path)) == sorted(tmp_path.iterdir())
    assert sorted(files_of(sharded)) == sorted(path for path in sharded.rglob("*") if path.is_file())


def test_lists_on_disk_answer_as_lists_in_memory(sharded):
    for mapped, read in zip(
        ShardedIndex.load(sharded).search(FRESH, 30), ShardedIndex.load(sharded, mapped=False).search(FRESH, 30),
        strict=True,
    ):  # fmt: skip
        assert mapped.tolist() == read.tolist()


def test_lists_stay_on_disk_where_they_are_mapped(sharded):
    for shard in ShardedIndex.load(sharded).shards:
        # Four-bit codes are read in blocks, which FAISS does not map; they are an eighth of the vectors.
        kind = "BlockInvertedLists" if shard.facts["promise"]["family"] == "ivf-pq" else "OnDiskInvertedLists"
        assert type(faiss.downcast_InvertedLists(shard.host.invlists)).__name__ == kind


def test_a_build_cut_off_leaves_no_index(sharded, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    calls = iter([ItemIndex.save, full])
    monkeypatch.setattr(ItemIndex, "save", lambda self, folder: next(calls)(self, folder))
    with pytest.raises(OSError, match="No space left"):
        ShardedIndex.build(tmp_path, np.arange(4000), VECTORS, QUERIES, shard_items=2000, target_recall=1.0, gpus=0)
    with pytest.raises(FileNotFoundError, match=r"lacks shards.json, so no index was built there to its end"):
        ShardedIndex.load(tmp_path)


def test_wrong_input_is_refused_before_anything_is_built(tmp_path):
    with pytest.raises(InputError, match="3 comes twice"):
        ShardedIndex.build(tmp_path, np.array([3, 4, 3]), np.eye(3), np.eye(3), shard_items=1)
    with pytest.raises(InputError, match="an id for every vector, got 2 for 3"):
        ShardedIndex.build(tmp_path, np.arange(2), np.eye(3), np.eye(3))
    with pytest.raises(InputError, match="shard_items=0"):
        ShardedIndex.build(tmp_path, np.arange(3), np.eye(3), np.eye(3), shard_items=0)
    assert not list(tmp_path.iterdir())


def test_other_towers_are_refused(sharded):
    with pytest.raises(InputError, match="other towers"):
        ShardedIndex.load(sharded, "t2")
