from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce.times import microseconds
from commerce.warehouse import open_warehouse
from configs.errors import InputError

TEN = 1_704_189_600_000_000  # 2024-01-02 10:00 UTC
HOUR = 3_600_000_000


def read(warehouse, values, zone="", unit="", kind=None):
    table = pa.table({"row": pa.array(range(len(values)), pa.int64()), "t": pa.array(values, kind)})
    stored = warehouse.create_table("times", table, overwrite=True)
    time = microseconds(stored, "t", "events.timestamp", zone, unit)
    return stored.select(stored.row, time=time).order_by("row").to_pyarrow()["time"].to_pylist()


def test_zones_are_read_in_their_usual_spellings(warehouse):
    texts = [
        "2024-01-02T10:00:00Z",
        "2024-01-02 10:00:00+00:00",
        "2024-01-02 18:00:00+0800",
        "2024-01-02T04:30:00.000-05:30",
        "2024-01-02 13:00:00+03",
        "2024-01-02 10:00:00 UTC",
        "2024/01/02 10:00Z",
    ]
    assert read(warehouse, texts) == [TEN] * len(texts)


def test_what_is_no_time_becomes_null(warehouse):
    texts = ["2024-13-02T10:00:00Z", "yesterday", "", None, "02/01/2024 10:00", "2024-01-02 25:00:00Z", "infinity"]
    assert read(warehouse, texts) == [None] * len(texts)


def test_times_without_a_zone_are_refused(warehouse):
    message = (
        r"events\.timestamp: 2 times carry no zone \(first: row 1; such as '2024-01-02'\); "
        r"set data\.timezone to the zone of the shop's clocks"
    )
    with pytest.raises(InputError, match=message):
        read(warehouse, ["2024-01-02T10:00:00Z", "2024-01-02 10:00:00", "2024-01-02", "never"])
    with pytest.raises(InputError, match="1 times carry no zone"):
        read(warehouse, [datetime(2024, 1, 2, 10)])


def test_a_set_zone_is_used_where_there_is_none(warehouse):
    texts = ["2024-01-02 18:00:00", "2024-01-02T10:00:00Z"]
    assert read(warehouse, texts, zone="Asia/Shanghai") == [TEN, TEN]
    assert read(warehouse, [datetime(2024, 1, 2, 18)], zone="Asia/Shanghai") == [TEN]
    # Summer time in New York is four hours behind, winter time five.
    assert read(warehouse, ["2024-07-02 06:00:00", "2024-01-02 05:00:00"], zone="America/New_York") == [
        TEN + 182 * 24 * HOUR,
        TEN,
    ]


def test_a_misspelt_zone_is_named(warehouse):
    with pytest.raises(InputError, match=r"data\.timezone=Asia/Shangai is not a time zone; did you mean Asia/Shanghai"):
        read(warehouse, ["2024-01-02 18:00:00"], zone="Asia/Shangai")


def test_timestamps_with_a_zone_and_numbers_with_a_unit_are_exact(warehouse):
    assert read(warehouse, [datetime(2024, 1, 2, 10, tzinfo=UTC)], kind=pa.timestamp("us", tz="UTC")) == [TEN]
    assert read(warehouse, [TEN // 1000, None], unit="ms") == [TEN, None]
    assert read(warehouse, [TEN // 10**6], unit="s") == [TEN]


def test_numbers_written_as_text_count_in_the_unit_beside_written_times(warehouse):
    # CSV files are read as text.
    written = [str(TEN // 10**6), f" {TEN // 10**6}.5 ", "2024-01-02T10:00:00Z", "soon", "", None]
    assert read(warehouse, written, unit="s") == [TEN, TEN + 500_000, TEN, None, None, None]
    assert read(warehouse, [str(TEN + 7)], unit="us") == [TEN + 7]


def test_text_of_nothing_but_numbers_asks_for_a_unit(warehouse):
    with pytest.raises(InputError, match=r"events\.timestamp holds numbers; set data\.time_unit to s, ms or us"):
        read(warehouse, ["1704103200", None])


def test_numbers_without_a_unit_are_refused(warehouse):
    with pytest.raises(InputError, match=r"events\.timestamp holds numbers; set data\.time_unit to s, ms or us"):
        read(warehouse, [TEN])


@pytest.fixture(scope="module")
def shared_warehouse():
    opened = open_warehouse(threads=1)
    yield opened
    opened.disconnect()


moments = st.tuples(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)), st.integers(-14 * 60, 14 * 60))


@given(st.lists(moments, min_size=1, max_size=50))
@settings(max_examples=5, deadline=None)
def test_any_moment_written_with_any_offset_reads_back(shared_warehouse, pairs):
    written = [moment.replace(tzinfo=timezone(timedelta(minutes=minutes))) for moment, minutes in pairs]
    start = datetime(1970, 1, 1, tzinfo=UTC)
    expected = [(moment - start) // timedelta(microseconds=1) for moment in written]
    assert read(shared_warehouse, [moment.isoformat() for moment in written]) == expected
