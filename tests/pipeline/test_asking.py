import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commerce.columns import ACTION_CODES
from commerce.histories import Histories
from commerce.records import Requests
from configs.schema import Config, DataConfig, RetrievalConfig
from pipeline.asking import Shop, blocks, open_sources, popularity_column

VIEW, PURCHASE = ACTION_CODES["view"], ACTION_CODES["purchase"]


@pytest.fixture
def shop(tmp_path):
    """User 0 bought item 0 and viewed item 1; user 1 bought items 2 and 2 again; item 3 is gone at time 50."""
    histories = Histories(
        offsets=np.array([0, 2, 4]),
        item=np.array([0, 1, 2, 2], np.int32),
        action=np.array([PURCHASE, VIEW, PURCHASE, PURCHASE], np.uint8),
        time=np.array([10, 20, 10, 20]),
        query=np.full(4, -1, np.int32),
        session=np.zeros(4, np.int64),
    )
    histories.save(tmp_path / "histories")
    (tmp_path / "users_features").mkdir()
    np.save(tmp_path / "users_features" / "categorical.npy", np.array([[2, 0], [1, 3]], np.int32))
    np.savez(tmp_path / "availability.npz", **{"from": np.zeros(4, np.int64), "until": np.array([99, 99, 99, 50])})
    pq.write_table(pa.table({"query": [1, 0], "text": ["boots", "shoes"]}), tmp_path / "queries.parquet")
    return Shop.open(tmp_path, {"purchase": 1.0})


def requests(users, times, ends, queries):
    size = len(users)
    return Requests(
        request_id=np.arange(size),
        window=np.full(size, "test"),
        half=np.full(size, ""),
        user=np.array(users, np.int32),
        time=np.array(times),
        history_end=np.array(ends),
        query=np.array(queries, np.int32),
        session=np.zeros(size, np.int64),
        intent=np.zeros(size, np.int8),
        offsets=np.arange(size + 1),
        items=np.zeros(size, np.int32),
        gains=np.ones(size, np.float32),
    )


ASKED = requests([0, 1, 1], [30, 15, 60], [2, 3, 4], [-1, 0, 1])


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_block_holds_what_is_known_at_each_moment(shop, size):
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    parts = list(blocks(shop, ASKED, vectors, filter_seen=True, size=size))
    assert [row for rows, _, _ in parts for row in range(rows.start, rows.stop)] == [0, 1, 2]
    events = [one.item.tolist() for _, ask, _ in parts for one in ask.events]
    assert events == [[0, 1], [2], [2, 2]]
    assert [query for _, ask, _ in parts for query in ask.queries] == ["", "shoes", "boots"]
    assert np.concatenate([ask.vectors for _, ask, _ in parts]).tolist() == vectors.tolist()
    assert np.concatenate([ask.time for _, ask, _ in parts]).tolist() == [30, 15, 60]
    assert np.concatenate([ask.profile for _, ask, _ in parts]).tolist() == [[2, 0], [1, 3], [1, 3]]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_what_may_be_answered_is_available_and_not_had(shop, size):
    every = np.arange(4)
    filtered = [
        allowed.row(row, every).tolist()
        for _, _, allowed in blocks(shop, ASKED, None, filter_seen=True, size=size)
        for row in range(len(allowed))
    ]
    # A view is not having; item 3 is gone at 60.
    assert filtered == [[False, True, True, True], [True, True, False, True], [True, True, False, False]]
    for _, _, allowed in blocks(shop, ASKED, None, filter_seen=False, size=size):
        assert allowed.row(0, np.arange(3)).all()


def test_a_source_that_lacks_something_says_what(shop, tmp_path):
    with pytest.raises(ValueError, match="`vectors` needs the item index"):
        open_sources(["vectors"], tmp_path, Config())


def test_the_column_of_popularity_is_counted_without_sensitive_ones():
    # Sensitive columns have no codes, so that what stands behind them moves up.
    data = DataConfig(user_categorical=["gender", "age", "region"], sensitive=["gender"])
    config = Config(data=data, retrieval=RetrievalConfig(popularity_by="region"))
    assert popularity_column(config) == 1
    with pytest.raises(ValueError, match="popularity_by"):
        Config(data=data, retrieval=RetrievalConfig(popularity_by="gender"))
