import numpy as np
import pyarrow as pa

from commerce.laying import lay_histories, with_query_codes

ACTION = {"search": 0, "impression": 1, "view": 2, "purchase": 5}


def log(warehouse, rows):
    """(row, user, item, action, time, query)"""
    row, user, item, action, time, query = zip(*rows, strict=True)
    table = pa.table(
        {
            "row": pa.array(row, pa.int64()),
            "user": pa.array(user, pa.int32()),
            "item": pa.array(item, pa.int32()),
            "action": pa.array([ACTION[word] for word in action], pa.uint8()),
            "time": pa.array(time, pa.int64()),
            "session": pa.array(row, pa.int64()),
            "query": pa.array(query, pa.string()),
        }
    )
    return warehouse.create_table("log", table)


def test_histories_are_sorted_and_hold_only_the_named_actions(tmp_path, warehouse):
    events = log(
        warehouse,
        [
            (0, 2, 5, "view", 30, None),
            (1, 0, 6, "view", 20, None),
            (2, 0, 7, "impression", 10, None),
            (3, 0, -1, "search", 10, " red  tea"),
            (4, 0, 8, "purchase", 20, None),
            (5, 2, -1, "search", 5, "red  tea"),
            (6, 2, -1, "search", 6, "  "),
        ],
    )
    coded, queries = with_query_codes(warehouse, events)
    assert queries.to_pyarrow().to_pylist() == [{"query": 0, "text": "red  tea"}]
    histories = lay_histories(coded, ["search", "view", "purchase"], users=4, folder=tmp_path / "histories")
    assert histories.offsets.tolist() == [0, 3, 3, 6, 6]
    assert histories.item.tolist() == [-1, 6, 8, -1, -1, 5]
    assert histories.time.tolist() == [10, 20, 20, 5, 6, 30]
    assert histories.query.tolist() == [0, -1, -1, 0, -1, -1]
    assert isinstance(histories.item.base, np.memmap)  # a view: nothing is read before it is looked at
    assert [getattr(histories, name).dtype for name in ("offsets", "item", "action", "time", "query", "session")] == [
        np.int64, np.int32, np.uint8, np.int64, np.int32, np.int64,
    ]  # fmt: skip
