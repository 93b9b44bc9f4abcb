import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commerce.files import find_files, read_files
from configs.errors import InputError


def rows(table):
    return table.order_by("row").to_pyarrow().to_pylist()


def test_a_csv_keeps_zeros_in_front_and_numbers_its_rows(tmp_path, warehouse):
    (tmp_path / "items.csv").write_text("item_id,title\n007,tea\n008,\n")
    table = read_files(warehouse, "t", find_files("items.csv", str(tmp_path), "data.items"))
    assert rows(table) == [{"row": 0, "item_id": "007", "title": "tea"}, {"row": 1, "item_id": "008", "title": None}]


def test_a_folder_is_read_in_order_of_names_and_columns_join_by_name(tmp_path, warehouse):
    for name, columns in (("b", {"x": [3]}), ("a", {"x": [1, 2], "y": ["p", "q"]})):
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    (tmp_path / "_SUCCESS").touch()
    files = find_files(".", str(tmp_path), "data.events")
    assert [file.name for file in files] == ["a.parquet", "b.parquet"]
    assert rows(read_files(warehouse, "t", files)) == [
        {"row": 0, "x": 1, "y": "p"},
        {"row": 1, "x": 2, "y": "q"},
        {"row": 2, "x": 3, "y": None},
    ]


def test_a_glob_names_files(tmp_path):
    for name in ("e-2.csv", "e-1.csv", "other.csv"):
        (tmp_path / name).write_text("a\n1\n")
    assert [file.name for file in find_files("e-*.csv", str(tmp_path), "data.events")] == ["e-1.csv", "e-2.csv"]


def test_json_lines_keep_times_as_text(tmp_path, warehouse):
    (tmp_path / "e.jsonl").write_text('{"t": "2024-01-02T10:00:00+08:00", "n": 1}\n{"t": "2024-01-02", "v": [1.5]}\n')
    table = read_files(warehouse, "t", find_files("e.jsonl", str(tmp_path), "data.events"))
    assert rows(table) == [
        {"row": 0, "t": "2024-01-02T10:00:00+08:00", "n": 1, "v": None},
        {"row": 1, "t": "2024-01-02", "n": None, "v": [1.5]},
    ]


def test_packed_files_are_read(tmp_path, warehouse):
    import gzip

    (tmp_path / "e.csv.gz").write_bytes(gzip.compress(b"a\n1\n"))
    assert rows(read_files(warehouse, "t", find_files("e.csv.gz", str(tmp_path), "data.events"))) == [
        {"row": 0, "a": "1"}
    ]


@pytest.mark.parametrize(
    ("make", "pattern", "message"),
    [
        ((), "events.csv", r"data\.events=events\.csv: no file found at .*events\.csv"),
        (("notes.txt",), "notes.txt", r"one format is expected, found notes\.txt; known endings are \.parquet"),
        (("a.csv", "b.parquet"), ".", r"one format is expected, found a\.csv, b\.parquet"),
    ],
)
def test_files_that_are_not_there_or_not_alike_are_refused(tmp_path, make, pattern, message):
    for name in make:
        (tmp_path / name).write_text("x")
    with pytest.raises(InputError, match=message):
        find_files(pattern, str(tmp_path), "data.events")


def test_a_file_that_is_not_what_its_ending_says_is_refused(tmp_path, warehouse):
    (tmp_path / "e.parquet").write_text("no parquet")
    with pytest.raises(InputError, match=r"e\.parquet cannot be read as parquet: "):
        read_files(warehouse, "t", [tmp_path / "e.parquet"])
