import numpy as np
import pytest

from towers.lessons import Lessons


def test_lessons_come_back_by_target(tmp_path):
    items, scores = np.array([[7, 8], [3, -1]], np.int32), np.array([[0.5, -0.5], [0.25, 9.0]], np.float32)
    Lessons(np.array([4, 12]), items, scores).write(tmp_path / "lessons.parquet")
    lessons = Lessons.read(tmp_path / "lessons.parquet")
    found, place = lessons.of(np.array([12, 9, 4, 12]))
    assert found.tolist() == [0, 2, 3]
    assert lessons.items[place].tolist() == [[3, -1], [7, 8], [3, -1]]
    assert lessons.scores[place].tolist() == [[0.25, 0.0], [0.5, -0.5], [0.25, 0.0]]


def test_no_lesson_teaches_nobody(tmp_path):
    nothing = Lessons(np.zeros(0, np.int64), np.zeros((0, 2), np.int32), np.zeros((0, 2), np.float32))
    nothing.write(tmp_path / "lessons.parquet")
    read = Lessons.read(tmp_path / "lessons.parquet")
    assert len(read) == 0
    assert [len(one) for one in read.of(np.array([4]))] == [0, 0]


def test_another_record_is_refused(tmp_path):
    from commerce.records import RANKINGS, write_table

    write_table(RANKINGS.empty_table(), RANKINGS, "rankings", tmp_path / "rankings.parquet")
    with pytest.raises(ValueError, match="holds record 'rankings' of version '1', but 'lessons'"):
        Lessons.read(tmp_path / "rankings.parquet")
