import math

import pytest

from commerce.tables import input_files, read_tables
from configs.errors import InputError
from configs.schema import BazaarConfig, DataConfig

EVENTS = """\
user_id,timestamp,action,item_id,query,price
u1,2024-01-02T10:00:00Z,view,001,,2.5
u2,2024-01-02T18:00:00+08:00,search,,green tea,
u1,never,purchase,001,,free
"""
ITEMS = 'item_id,title,weight,image\n001,Green tea,1.5,"[1, 2]"\n002,Pot,heavy,\n'
FIRST = 1_704_189_600_000_000


@pytest.fixture
def shop(tmp_path, warehouse):
    """Return a function: tables as CSV text, settings -> RawTables."""

    def read(events=EVENTS, items=ITEMS, users="", relations="", **settings):
        texts = {"events": events, "items": items, "users": users, "relations": relations}
        for name, text in texts.items():
            if text:
                (tmp_path / f"{name}.csv").write_text(text)
                settings.setdefault(name, f"{name}.csv")
        data = DataConfig(folder=str(tmp_path), **settings)
        return read_tables(data, BazaarConfig(), warehouse, tmp_path)

    return read


def rows(table, *columns):
    chosen = table.order_by("row").select(*columns).to_pyarrow().to_pylist()
    return [tuple(row.values()) for row in chosen]


def test_a_shops_csv_gets_our_columns_and_types(shop):
    tables = shop(item_numeric=["weight"], item_vector="image")
    assert rows(tables.events, "user_id", "item_id", "action", "time", "query", "price") == [
        ("u1", "001", "view", FIRST, None, 2.5),
        ("u2", None, "search", FIRST, "green tea", None),
        ("u1", "001", "purchase", None, None, None),
    ]
    (first, second) = rows(tables.items, "item_id", "weight", "image", "available_from", "price")
    assert first == ("001", 1.5, [1.0, 2.0], None, None)
    assert math.isnan(second[1])
    assert second[2] is None


def test_the_shops_words_are_mapped(shop):
    events = "Kunde,wann,Art,Artikel,note\nu1,2024-01-02 18:00:00,gekauft,1,x\nu1,2024-01-02 18:00:00,view,1,y\n"
    tables = shop(
        events,
        "Artikel,Name\n1,Tee\n",
        event_columns={"user_id": "Kunde", "timestamp": "wann", "action": "Art", "item_id": "Artikel"},
        item_columns={"item_id": "Artikel", "title": "Name"},
        actions={"gekauft": "purchase"},
        timezone="Asia/Shanghai",
    )
    assert rows(tables.events, "user_id", "item_id", "action", "time", "note") == [
        ("u1", "1", "purchase", FIRST, "x"),
        ("u1", "1", "view", FIRST, "y"),
    ]
    assert rows(tables.items, "item_id", "title") == [("1", "Tee")]


def test_names_that_differ_only_in_case_are_ours(shop):
    tables = shop(items="ITEM_ID,title,Price\n1,Tea,3\n")
    assert rows(tables.items, "item_id", "title", "price") == [("1", "Tea", 3.0)]


def test_ids_that_pandas_made_floats_are_whole_again(tmp_path, warehouse):
    import pyarrow as pa
    import pyarrow.parquet as pq

    times = pa.array([FIRST, FIRST], pa.timestamp("us", tz="UTC"))
    events = {"user_id": [1, 2], "timestamp": times, "action": ["view", "search"], "item_id": [7.0, None]}
    pq.write_table(pa.table({**events, "query": [None, "tea"]}), tmp_path / "events.parquet")
    pq.write_table(pa.table({"item_id": [7], "title": ["Tea"]}), tmp_path / "items.parquet")
    data = DataConfig(folder=str(tmp_path), events="events.parquet", items="items.parquet")
    tables = read_tables(data, BazaarConfig(), warehouse, tmp_path)
    assert rows(tables.events, "user_id", "item_id", "time") == [("1", "7", FIRST), ("2", None, FIRST)]
    assert rows(tables.items, "item_id") == [("7",)]


def test_a_column_named_as_one_of_ours_inside_is_left_out(shop):
    tables = shop(items="item_id,title,item,row\n1,Tea,x,y\n")
    assert "item" not in tables.items.columns
    assert rows(tables.items, "row", "title") == [(0, "Tea")]


def test_a_column_that_looks_like_an_optional_one_is_remarked(shop):
    tables = shop(EVENTS.replace("price", "pricee"))
    assert tables.notes == ["column pricee is not read as price; if it is meant, set data.event_columns.price=pricee"]


def test_users_and_relations_are_read_where_set(shop):
    tables = shop(users="user_id,age\nu1,30\nu2,old\n", relations="item_id,other_id,relation\n001,002,variant\n",
                  user_numeric=["age"])  # fmt: skip
    assert rows(tables.users, "user_id")[0] == ("u1",)
    assert rows(tables.users, "age")[0] == (30.0,)
    assert rows(tables.relations, "item_id", "other_id", "relation", "source") == [("001", "002", "variant", None)]


@pytest.mark.parametrize(
    ("tables", "settings", "message"),
    [
        (
            {"events": EVENTS.replace("user_id", "userid")},
            {},
            r"the events table has no column user_id; did you mean userid\? .* say which one it is with "
            r"data\.event_columns",
        ),
        (
            {"items": "id,title\n1,Tea\n"},
            {},
            r"the items table has no column item_id; .*it has id, title",
        ),
        (
            {},
            {"event_columns": {"user_id": "usr"}},
            r"data\.event_columns\.user_id=usr: the events table has no column usr; did you mean user_id",
        ),
        ({}, {"item_text": ["titel"]}, r"items table has no column titel; did you mean title\?"),
        ({}, {"item_numeric": ["wieght"]}, r"items table has no column wieght; did you mean weight\?"),
        ({}, {"user_numeric": ["age"]}, r"data\.user_numeric names age, but there is no users table; set data\.users"),
        (
            {"users": "user_id,gender\nu1,f\n"},
            {"sensitive": ["gendre"]},
            r"users table has no column gendre; did you mean gender\?",
        ),
        ({"relations": "item_id,relation\n1,variant\n"}, {}, r"relations table has no column other_id"),
        ({}, {"actions": {"bought": "purchas"}}, r"purchas is not an action; did you mean purchase\?"),
        ({"events": EVENTS.replace("Z", "")}, {}, r"events\.timestamp: 1 times carry no zone"),
        ({}, {"reader": "table"}, r"data\.reader=table is not a reader; did you mean tables\?"),
        ({"events": ""}, {}, r"data\.events is not set; name a Parquet, CSV or JSON-lines file"),
    ],
)
def test_bad_input_is_named_with_the_remedy(shop, tables, settings, message):
    with pytest.raises(InputError, match=message):
        shop(**tables, **settings)


def test_input_files_are_those_that_are_read(tmp_path):
    for name in ("a.csv", "b.csv", "items.csv"):
        (tmp_path / name).write_text("x\n")
    data = DataConfig(folder=str(tmp_path), events="[ab].csv", items="items.csv")
    assert [file.name for file in input_files(data)] == ["a.csv", "b.csv", "items.csv"]
