from pathlib import Path

import pytest

from commerce.columns import DAY
from commerce.readers import sequences
from commerce.tables import read_tables
from configs.errors import InputError
from configs.schema import BazaarConfig, DataConfig

BEAUTY = Path("../shared/data/amazon_2014/beauty")


def config(folder, **settings):
    return DataConfig(reader="sequences", folder=str(folder), **settings)


def test_a_line_becomes_a_users_events_a_day_apart(tmp_path, warehouse):
    (tmp_path / "sequences.txt").write_text("7 3 1\n\n8 2\n")
    (tmp_path / "items.csv").write_text('item_id,title\n1,"Tea, green"\n2,\n3,Pot\n')
    tables = read_tables(config(tmp_path), BazaarConfig(), warehouse, tmp_path)
    events = (
        tables.events.order_by("row").select("row", "user_id", "item_id", "action", "time").to_pyarrow().to_pylist()
    )
    assert [tuple(event.values()) for event in events] == [
        (0, "7", "3", "purchase", 0),
        (1, "7", "1", "purchase", DAY),
        (2, "8", "2", "purchase", 0),
    ]
    items = tables.items.order_by("row").select("item_id", "title").to_pyarrow().to_pylist()
    assert [tuple(item.values()) for item in items] == [("1", "Tea, green"), ("2", None), ("3", "Pot")]


def test_a_folder_without_the_files_is_refused(tmp_path):
    (tmp_path / "items.csv").touch()
    with pytest.raises(
        InputError, match=r"sequences\.txt not found; data\.folder must name a folder with sequences\.txt"
    ):
        sequences.input_files(config(tmp_path))


@pytest.mark.skipif(not BEAUTY.is_dir(), reason=f"{BEAUTY} is not here; it may not be shipped")
def test_the_beauty_files_have_their_published_size(tmp_path, warehouse):
    tables = read_tables(config(BEAUTY, item_text=["title|idgenrec_text"]), BazaarConfig(), warehouse, tmp_path)
    counts = tables.events.agg(
        events=tables.events.count(), users=tables.events.user_id.nunique(), items=tables.events.item_id.nunique()
    )
    assert counts.to_pyarrow().to_pylist() == [{"events": 198_502, "users": 22_363, "items": 12_101}]
