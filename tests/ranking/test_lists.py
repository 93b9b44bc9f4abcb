import numpy as np
import pyarrow as pa
import pytest

from commerce.metrics import Relevant
from commerce.records import CANDIDATES, write_table
from ranking.lists import Lists, build_training_lists, gains_of, read_lists


def candidates(path, rows):
    columns = list(zip(*rows, strict=True))
    write_table(pa.table(dict(zip(CANDIDATES.names, map(list, columns), strict=True))), CANDIDATES, "candidates", path)


def relevant(*lists):
    counts = [len(one) for one in lists]
    items = np.array([item for one in lists for item in one], dtype=np.int32)
    return Relevant(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), items, np.ones(len(items), np.float32))


def plain(items):
    items = np.array(items, dtype=np.int32)
    scores = np.where(items >= 0, 1.0, 0.0).astype(np.float32)
    return Lists(items, scores, np.zeros((*items.shape, 1), np.int32), np.zeros((*items.shape, 1), np.float32))


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
    for name in ("items", "scores", "source_rank", "source_score"):
        assert np.array_equal(getattr(whole, name), getattr(blocks, name))


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


def test_lists_that_teach_no_order_are_left_out_and_counted():
    lists = plain([[1, 2, 3], [1, 2, 3], [1, -1, -1], [4, 5, -1], [-1, -1, -1]])
    built = build_training_lists(lists, relevant([2], [9], [1], [5], [1]), length=3, most=10, seed=0)
    assert built.rows.tolist() == [0, 3]
    assert built.lists.items.tolist() == [[1, 2, 3], [4, 5, -1]]
    assert built.gains.tolist() == [[0, 1, 0], [0, 1, 0]]
    assert built.counts == {
        "requests": 5,
        "trained on": 2,
        "without a relevant candidate": 2,
        "with relevant candidates only": 1,
        "left out above the most": 0,
        "shorter than the list length": 1,
    }


def test_a_cut_list_keeps_its_relevant_items_and_the_blended_order():
    lists = plain([list(range(50))] * 40)
    built = build_training_lists(lists, relevant(*[[49]] * 40), length=6, most=100, seed=1)
    assert (built.gains.sum(axis=1) == 1).all()
    assert (built.lists.items[:, -1] == 49).all()  # the last of the blend stays the last
    assert (np.diff(built.lists.items, axis=1) > 0).all()
    assert len(np.unique(built.lists.items[:, :-1])) > 40  # the others are drawn, not the first ones


def test_half_a_list_at_least_is_not_relevant():
    built = build_training_lists(plain([list(range(20))]), relevant(list(range(12))), length=6, most=1, seed=0)
    assert built.gains.sum() == 3


def test_a_list_length_beyond_the_list_keeps_the_whole_list():
    built = build_training_lists(plain([[3, 1, 2]]), relevant([1]), length=100, most=1, seed=0)
    assert built.lists.items.tolist() == [[3, 1, 2]]


def test_above_the_most_requests_a_seed_decides():
    lists, wanted = plain([[1, 2]] * 30), relevant(*[[1]] * 30)
    first, again, other = (
        build_training_lists(lists, wanted, length=2, most=10, seed=seed).rows.tolist() for seed in (1, 1, 2)
    )
    assert len(first) == 10
    assert first == again
    assert first != other
