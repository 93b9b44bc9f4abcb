import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commerce.candidates import CandidateWriter
from commerce.metrics import Relevant
from commerce.records import CANDIDATES, write_table
from configs.errors import InputError
from ranking.lists import _groups, gains_of, read_lists, stream_lists


def candidates(path, rows):
    columns = list(zip(*rows, strict=True))
    write_table(pa.table(dict(zip(CANDIDATES.names, map(list, columns), strict=True))), CANDIDATES, "candidates", path)


def relevant(*lists):
    counts = [len(one) for one in lists]
    items = np.array([item for one in lists for item in one], dtype=np.int32)
    return Relevant(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), items, np.ones(len(items), np.float32))


def test_candidates_come_in_blended_order_with_what_each_source_said(tmp_path):
    rows = [
        (7, 30, "blend", 0, 0.9),
        (7, 10, "blend", 1, 0.8),
        (7, 20, "blend", 2, 0.7),
        (7, 10, "vectors", 0, 0.55),
        (7, 20, "vectors", 1, 0.44),
        (7, 30, "popularity", 5, 99.0),
        (9, 10, "blend", 0, 0.6),
        (9, 10, "unasked", 0, 0.1),
    ]
    candidates(tmp_path / "c.parquet", rows)
    lists = read_lists(tmp_path / "c.parquet", np.array([9, 7, 8]), ("vectors", "popularity"), depth=2)
    assert lists.items.tolist() == [[10, -1], [30, 10], [-1, -1]]  # 20 lies beyond the depth, 8 has no candidates
    assert lists.scores[1] == pytest.approx([0.9, 0.8])
    assert lists.source_rank[1].tolist() == [[-1, 5], [0, -1]]
    assert lists.source_score[1] == pytest.approx(np.array([[0, 99], [0.55, 0]]))
    assert lists.source_rank[0].tolist() == [[-1, -1], [-1, -1]]


def test_rows_read_in_blocks_are_the_same(tmp_path, monkeypatch):
    rows = [(r, 10 * r + i, s, i, 1.0 / (i + 1)) for r in range(4) for s in ("blend", "vectors") for i in range(3)]
    candidates(tmp_path / "c.parquet", rows)
    ids = np.array([2, 0, 3])
    whole = read_lists(tmp_path / "c.parquet", ids, ("vectors",), depth=3)
    monkeypatch.setattr("ranking.lists._ROWS", 5)
    blocks = read_lists(tmp_path / "c.parquet", ids, ("vectors",), depth=3)
    for name in ("items", "scores", "source_rank", "source_score", "place"):
        assert np.array_equal(getattr(whole, name), getattr(blocks, name))


def test_a_stream_gives_every_request_once_in_the_order_of_the_file(tmp_path, monkeypatch):
    rows = [(r, 10 * r + i, s, i, 1.0 / (i + 1)) for r in range(6) for s in ("blend", "vectors") for i in range(3)]
    candidates(tmp_path / "c.parquet", rows)
    monkeypatch.setattr("ranking.lists._ROWS", 8)
    ids = np.array([0, 2, 3, 5, 8])  # nobody found anything for 8
    blocks = list(stream_lists(tmp_path / "c.parquet", ids, ("vectors",), depth=2))
    assert len(blocks) > 1
    assert np.concatenate([rows for rows, _ in blocks]).tolist() == [0, 1, 2, 3]
    assert np.concatenate([lists.items for _, lists in blocks]).tolist() == [[0, 1], [20, 21], [30, 31], [50, 51]]


def test_row_groups_without_anything_asked_for_are_not_read(tmp_path):
    path = tmp_path / "c.parquet"
    with CandidateWriter(path) as file:
        for request in range(5):
            one = np.array([[request]], np.int32)
            file.write(np.array([request]), one, one.astype(np.float32), ("vectors",), one[:, :, None], one[:, :, None])
    file = pq.ParquetFile(path)
    assert _groups(file, np.array([1, 4, 7])) == [1, 4]
    assert _groups(file, np.array([], np.int64)) == []
    assert read_lists(path, np.array([4, 1, 7]), ("vectors",), depth=1).items.tolist() == [[4], [1], [-1]]


@pytest.mark.parametrize("block", [2, 100])
def test_a_file_whose_requests_do_not_ascend_is_refused(tmp_path, monkeypatch, block):
    monkeypatch.setattr("ranking.lists._ROWS", block)
    rows = [(3, 1, "blend", 0, 0.9), (5, 1, "blend", 0, 0.9), (4, 1, "blend", 0, 0.9)]
    candidates(tmp_path / "c.parquet", rows)
    with pytest.raises(InputError, match=r"c\.parquet: request 4 stands after request 5.*mercato retrieve CONFIG"):
        read_lists(tmp_path / "c.parquet", np.array([3, 4, 5]), (), depth=2)


def test_a_stream_is_asked_by_ascending_requests(tmp_path):
    candidates(tmp_path / "c.parquet", [(1, 1, "blend", 0, 0.9)])
    with pytest.raises(ValueError, match="ascending"):
        next(stream_lists(tmp_path / "c.parquet", np.array([2, 1]), (), depth=2))


def test_a_file_of_another_kind_is_refused(tmp_path):
    write_table(
        pa.table({"request_id": [1], "item": [1], "source": ["blend"], "rank": [0], "score": [1.0]}),
        CANDIDATES,
        "rankings",
        tmp_path / "c.parquet",
    )
    with pytest.raises(ValueError, match="holds record 'rankings'"):
        read_lists(tmp_path / "c.parquet", np.array([1]), (), depth=2)


def test_gains_stand_where_the_relevant_items_are():
    gains = gains_of(np.array([[5, 6, -1], [6, 5, 7]], np.int32), relevant([6, 9], [7]))
    assert gains.tolist() == [[0, 1, 0], [0, 0, 1]]
