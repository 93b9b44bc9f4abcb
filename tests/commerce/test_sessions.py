import pyarrow as pa

from commerce.columns import MICROSECONDS
from commerce.sessions import with_sessions

MINUTE = 60 * MICROSECONDS


def sessions(warehouse, rows, gap=30):
    names = ("row", "user", "time", "session")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    types = {"row": pa.int64(), "user": pa.int32(), "time": pa.int64(), "session": pa.int64()}
    table = pa.table({name: pa.array(columns[name], kind) for name, kind in types.items()})
    events = warehouse.create_table("events", table)
    return with_sessions(events, gap).order_by("row").to_pyarrow()["session"].to_pylist()


def test_a_pause_longer_than_the_gap_parts_sessions(warehouse):
    rows = [(0, 0, 0, None), (1, 0, 30 * MINUTE, None), (2, 0, 60 * MINUTE + 1, None), (3, 1, 60 * MINUTE, None)]
    assert sessions(warehouse, rows) == [0, 0, 2, 3]


def test_the_order_is_by_time_then_row_and_the_code_is_the_least_row(warehouse):
    rows = [(0, 0, 90 * MINUTE, None), (1, 0, 5, None), (2, 0, 5, None), (3, 0, 0, None)]
    assert sessions(warehouse, rows) == [0, 1, 1, 1]


def test_given_sessions_stay_whatever_the_pause(warehouse):
    rows = [(0, 0, 0, 0), (1, 0, 500 * MINUTE, 0), (2, 0, 501 * MINUTE, None), (3, 0, 502 * MINUTE, None)]
    assert sessions(warehouse, rows) == [0, 0, 2, 2]
