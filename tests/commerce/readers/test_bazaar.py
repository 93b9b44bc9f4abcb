import pytest

from commerce.readers import bazaar
from commerce.tables import read_tables
from configs.errors import InputError
from configs.schema import BazaarConfig, DataConfig

DATA = DataConfig(reader="bazaar")
TINY = BazaarConfig(users=30, items=80, days=30)


def test_the_generated_tables_come_in_under_our_names(tmp_path, warehouse):
    tables = read_tables(DATA, TINY, warehouse, tmp_path)
    events = tables.events.order_by("row").to_pyarrow()
    assert events.column_names[:5] == ["row", "user_id", "item_id", "action", "time"]
    assert "cause" in events.column_names
    assert events["row"].to_pylist() == list(range(len(events)))
    assert min(events["time"].to_pylist()) >= 1_767_571_200_000_000  # 2026-01-05 UTC
    assert tables.items.count().to_pyarrow().as_py() == 80
    assert tables.users is not None
    assert tables.relations is not None
    assert tables.relations.columns == ("row", "item_id", "other_id", "relation", "source")


def test_it_reads_no_files():
    assert bazaar.input_files(DATA) == []


def test_a_shop_that_cannot_be_is_refused_in_a_sentence(tmp_path, warehouse):
    with pytest.raises(InputError, match=r"bazaar\.items is 12, but the shop has 40 categories"):
        read_tables(DATA, BazaarConfig(items=12), warehouse, tmp_path)
