import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commerce.histories import Histories
from commerce.metrics import Relevant
from commerce.records import Requests
from configs.errors import InputError
from pipeline.run_folder import RunFolder
from pipeline.segments import segments_of

DATA = {"user_categorical": ["city"], "user_numeric": [], "item_categorical": ["brand"], "item_numeric": ["price"]}
EVALUATE = {"segments": [], "segment_min_users": 1}
RELEVANT = Relevant(np.arange(4), np.array([0, 1, 1], np.int32), np.ones(3, np.float32))


@pytest.fixture
def run(tmp_path):
    for stage in ("ingest", "prepare"):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "manifest.json").write_text("{}")
    # Rows out of order: a value belongs to its code, wherever its row lies.
    users = {"user": [2, 0, 1], "user_id": ["c", "a", "b"], "city": ["Rom", "Ulm", "Ulm"], "gender": ["x", "f", "m"]}
    pq.write_table(pa.table({**users, "birth": [1990, 1970, 1980]}), tmp_path / "ingest" / "users.parquet")
    items = {"item": [0, 1], "item_id": ["t", "u"], "brand": ["A", "B"], "price": [2.0, None]}
    pq.write_table(pa.table(items), tmp_path / "ingest" / "items.parquet")
    np.savez(tmp_path / "prepare" / "cuts.npz", test=np.zeros(3, int))
    return RunFolder(tmp_path)


def segments(run, *names, **settings):
    none = np.full(3, -1)
    requests = Requests(
        request_id=np.arange(3),
        window=np.full(3, "test"),
        half=np.full(3, ""),
        user=np.arange(3, dtype=np.int32),
        time=none,
        history_end=np.zeros(3, int),
        query=none,
        session=none,
        intent=none,
        offsets=RELEVANT.offsets,
        items=RELEVANT.items,
        gains=RELEVANT.gains,
    )
    nothing = np.array([], int)
    histories = Histories(np.zeros(4, int), nothing, nothing, nothing, nothing, nothing)
    evaluate = EVALUATE | {"segments": list(names)} | settings
    found, notes, _ = segments_of(run, requests, RELEVANT, histories, 2, evaluate, DATA)
    return {segment.name: segment.keep.astype(int).tolist() for segment in found}, notes


def test_features_of_users_and_items_by_their_codes(run):
    found, _ = segments(run, "user:city", "item:brand", "item:price")
    assert found == {
        "user:city = Rom": [0, 0, 1],
        "user:city = Ulm": [1, 1, 0],
        "item:brand = A": [1, 0, 0],
        "item:brand = B": [0, 1, 1],
        "item:price = 2": [1, 0, 0],
        "item:price = (missing)": [0, 1, 1],
    }


def test_sensitive_columns_go_by_what_they_hold(run):
    found, _ = segments(run, "user:gender")
    assert found["user:gender = f"] == [1, 0, 0]
    found, _ = segments(run, "user:birth", segment_min_users=2)  # quartiles are never joined
    assert list(found) == ["user:birth = 1970", "user:birth = 1980", "user:birth = 1990"]


def test_a_value_that_is_everything_makes_no_segment(run):
    found, notes = segments(run, "user:city", segment_min_users=3)
    assert found == {}
    assert notes[0].startswith("user:city: 2 of 2 values are joined as other")


def test_a_declared_column_that_no_table_has_is_refused(run):
    with pytest.raises(
        InputError, match=r"names user:town, but .*users\.parquet has no column town; it has city, gender"
    ):
        segments(run, "user:town")
