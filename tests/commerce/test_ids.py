import pyarrow as pa

from commerce.ids import extend_ids


def found(warehouse, ids):
    table = pa.table({"id": pa.array(ids, pa.string()), "place": pa.array(range(len(ids)), pa.int64())})
    return warehouse.create_table("found", table, overwrite=True)


def codes(table):
    return {row["id"]: row["code"] for row in table.to_pyarrow().to_pylist()}


def test_codes_follow_the_order_of_first_sight_and_are_only_ever_added(tmp_path, warehouse):
    first = extend_ids(warehouse, "ids", found(warehouse, ["b", "a", "b"]))
    assert codes(first) == {"b": 0, "a": 1}
    first.to_parquet(tmp_path / "ids.parquet")
    # "b" is gone and stays known; "0" sorts first and still comes last.
    later = extend_ids(warehouse, "ids", found(warehouse, ["0", "a", "c"]), tmp_path / "ids.parquet")
    assert codes(later) == {"b": 0, "a": 1, "0": 2, "c": 3}
