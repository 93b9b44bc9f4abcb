from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commerce.given_rankings import read_given
from configs.errors import InputError


def written(tmp_path, text, name="lists.csv"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def parquet(tmp_path, **columns):
    pq.write_table(pa.table(columns), tmp_path / "lists.parquet")
    return tmp_path / "lists.parquet"


def test_csv_keeps_ids_as_they_are_written(tmp_path):
    given = read_given(written(tmp_path, "user_id,item_id,score\n007,0017,.5\nzoë, 0018 ,-1e3\n"))
    assert given.user.to_pylist() == ["007", "zoë"]
    assert given.item.to_pylist() == ["0017", "0018"]
    assert given.score.tolist() == [0.5, -1000]
    assert (given.request, given.time, given.query, given.notes) == (None, None, None, [])


def test_a_mark_at_the_start_of_the_file_changes_nothing(tmp_path):
    given = read_given(written(tmp_path, "\ufeffuser_id,item_id,score\n007,0017,.5\n"))
    assert given.user.to_pylist() == ["007"]


def test_a_rank_is_better_the_lower_it_is(tmp_path):
    given = read_given(written(tmp_path, "request_id,item_id,rank\n3,a,1\n3,b,2\n"))
    assert given.request.to_pylist() == ["3", "3"]
    assert given.score[0] > given.score[1]


def test_with_score_and_rank_the_score_decides_and_that_is_said(tmp_path):
    given = read_given(written(tmp_path, "user_id,item_id,rank,score\nu,a,1,.1\nu,b,2,.9\n"))
    assert given.score.tolist() == [0.1, 0.9]
    assert given.notes == ["the file has both score and rank: ordered by score"]


def test_parquet_with_numbers_for_ids_and_real_times(tmp_path):
    moments = pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * 2, pa.timestamp("ms", "UTC"))
    path = parquet(tmp_path, user_id=[7, 8], timestamp=moments, item_id=[25671.0, 3.0], score=[1, 2])
    given = read_given(path)
    assert given.user.to_pylist() == ["7", "8"]
    assert given.item.to_pylist() == ["25671", "3"]
    assert given.time.tolist() == [1767225600_000_000] * 2


def test_times_as_words_say_their_zone(tmp_path):
    rows = "u,2026-01-01T00:00:00.000001Z,a,1\nu,2026-01-01T08:00:00+08:00,a,1\n"
    given = read_given(written(tmp_path, f"user_id,timestamp,item_id,score\n{rows}"))
    assert given.time.tolist() == [1767225600_000_001, 1767225600_000_000]


def test_a_trec_run(tmp_path):
    given = read_given(written(tmp_path, "q1 Q0 d7 1 9.5 mine\n\nq1\tQ0  d8 2 9.25 mine\n", "mine.run"))
    assert given.query.to_pylist() == ["q1", "q1"]
    assert given.item.to_pylist() == ["d7", "d8"]
    assert given.score.tolist() == [9.5, 9.25]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.csv", "user_id,item,score\nu,a,1\n", "has the columns user_id, item, score; expected item_id, then"),
        ("x.csv", "item_id,score\na,1\n", "expected item_id, then request_id or user_id"),
        ("x.csv", "user_id,item_id\nu,a\n", "then score or rank"),
        ("x.csv", "", r"has the columns \(none\)"),
        ("x.csv", "user_id,item_id,score\n", "holds no rows"),
        ("x.csv", "user_id,item_id,score\nu,a,1\nu,b,nan\nu,c,\n", "2 of 3 rows have a score that is no finite number"),
        ("x.csv", "user_id,item_id,score\nu,a,much\n", r"first: rows 1, with much\).*no order"),
        ("x.csv", "user_id,item_id,score\nu,a,inf\n", "no finite number"),
        ("x.csv", "user_id,item_id,rank\nu,a,NaN\n", "a rank that is no finite number"),
        ("x.csv", "user_id,item_id,score\nu,,1\n", r"1 of 1 rows have no item_id \(first: rows 1\)"),
        ("x.csv", "user_id,item_id,score\n ,a,1\n", "rows have no user_id"),
        ("x.csv", "user_id,item_id,score\nu,a\n", r"cannot be read as \.csv"),
        ("x.csv", "user_id,timestamp,item_id,score\nu,2026-01-01T00:00:00,a,1\n", "no moment with a zone"),
        ("x.csv", "user_id,timestamp,item_id,score\nu,noon,a,1\n", r"first: row 1, noon\); write it as requests.csv"),
        ("x.run", "q Q0 d 1 2 t\nq Q0 d 1 2\n", r"1 of 2 lines do not have the six fields.*first: lines 2"),
        ("x.run", "q Q0 d 1 nan t\n", "no finite number"),
        ("x.run", "\n", "holds no rows"),
        ("x.parquet", "no parquet", r"cannot be read as \.parquet"),
        ("x.xlsx", "", r"ends with \.xlsx, but \.parquet, \.csv"),
    ],
)
def test_what_cannot_be_read_is_refused_with_counts_and_examples(tmp_path, name, text, message):
    with pytest.raises(InputError, match=message):
        read_given(written(tmp_path, text, name))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"there is no file .*gone\.csv"):
        read_given(tmp_path / "gone.csv")


def test_ids_with_fractions_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_given(parquet(tmp_path, user_id=[1.5], item_id=["a"], score=[1.0]))


def test_times_without_a_zone_are_refused_in_parquet_too(tmp_path):
    moments = pa.array([datetime(2026, 1, 1)], pa.timestamp("us"))
    with pytest.raises(InputError, match="no moment with a zone"):
        read_given(parquet(tmp_path, user_id=["u"], timestamp=moments, item_id=["a"], score=[1.0]))
