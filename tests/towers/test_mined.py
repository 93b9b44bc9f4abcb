import numpy as np
import pytest

from commerce.columns import NO_ITEM
from commerce.mined import MinedWriter
from commerce.records import check_record
from towers.mined import Mined


def test_negatives_come_back_by_target(tmp_path):
    with MinedWriter(tmp_path / "mined.parquet") as file:
        file.write(np.array([4, 9]), np.array([[7, 8], [NO_ITEM] * 2], np.int32), np.full((2, 2), 0.5, np.float32))
        file.write(np.array([12]), np.array([[3, NO_ITEM]], np.int32), np.full((1, 2), 0.25, np.float32))
    mined = Mined.read(tmp_path / "mined.parquet")
    assert mined.of(np.array([12, 4, 9, 5, 99])).tolist() == [[3, -1], [7, 8], [-1, -1], [-1, -1], [-1, -1]]


def test_a_file_without_any_gives_none(tmp_path):
    with MinedWriter(tmp_path / "mined.parquet") as file:
        file.write(np.array([4]), np.full((1, 2), NO_ITEM, np.int32), np.zeros((1, 2), np.float32))
    assert Mined.read(tmp_path / "mined.parquet").of(np.array([4])).shape == (1, 0)


def test_another_file_is_refused(tmp_path):
    with MinedWriter(tmp_path / "mined.parquet"):
        pass
    with pytest.raises(ValueError, match="holds record 'mined' of version '1', but 'requests'"):
        check_record("requests", tmp_path / "mined.parquet")
