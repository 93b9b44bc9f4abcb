import numpy as np

from learning.text_cache import TextCache

VECTORS = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_a_vector_is_found_by_its_text_in_any_later_opening(tmp_path):
    TextCache(tmp_path, "one").add(["a", "b", "c"], VECTORS)
    again = TextCache(tmp_path, "one")
    assert again.missing(["c", "new", "", "a"]) == ["new"]
    np.testing.assert_array_equal(again.vectors(["c", "", "a"], 2), [[4, 5], [0, 0], [0, 1]])


def test_another_encoder_knows_nothing_of_it(tmp_path):
    TextCache(tmp_path, "one").add(["a", "b", "c"], VECTORS)
    assert TextCache(tmp_path, "two").missing(["a"]) == ["a"]


def test_shards_add_up(tmp_path):
    cache = TextCache(tmp_path, "one")
    cache.add(["a"], VECTORS[:1])
    cache.add(["b"], VECTORS[1:2])
    np.testing.assert_array_equal(TextCache(tmp_path, "one").vectors(["b", "a"], 2), VECTORS[[1, 0]])


def test_a_half_written_shard_is_not_read(tmp_path):
    cache = TextCache(tmp_path, "one")
    cache.add(["a"], VECTORS[:1])
    shard = next(tmp_path.rglob("*.npz"))
    (shard.parent / ".half.1.tmp").write_bytes(shard.read_bytes()[:20])
    assert TextCache(tmp_path, "one").missing(["a"]) == []


def test_a_table_holds_the_vectors_of_all_shards_in_the_order_of_the_texts(tmp_path):
    cache = TextCache(tmp_path, "one")
    cache.add(["a", "b"], VECTORS[:2])
    cache.add(["c"], VECTORS[2:])
    texts = ["c", "", "a", "b", "c"]
    cache.write_table(texts, 2)
    table = np.load(TextCache(tmp_path, "one").table_file(texts))
    assert table.dtype == np.float16
    np.testing.assert_array_equal(table, [[4, 5], [0, 0], [0, 1], [2, 3], [4, 5]])
    assert not cache.table_file(texts[::-1]).exists()
    assert TextCache(tmp_path, "one").missing(texts) == []  # a table is no shard
