import pyarrow as pa
import pytest

from commerce.checks import check_events, check_items, check_relations, check_users, refuse_over_share
from commerce.raw import EVENT_TYPES, ITEM_TYPES, RELATION_TYPES, USER_TYPES, with_columns
from configs.errors import InputError

GOOD = {"user_id": "u", "item_id": "a", "action": "view", "time": 1}


@pytest.fixture
def tables(warehouse):
    """Return functions that store rows as the tables that readers hand on."""

    class Tables:
        def make(self, name, types, rows):
            kinds = {"string": pa.string(), "int64": pa.int64(), "int32": pa.int32(), "float64": pa.float64()}
            columns = {
                column: pa.array([row.get(column) for row in rows], kinds[kind]) for column, kind in types.items()
            }
            columns["row"] = pa.array(range(len(rows)), pa.int64())
            return with_columns(warehouse.create_table(name, pa.table(columns)), types)

        def events(self, *rows):
            return self.make("events", EVENT_TYPES, rows)

        def items(self, *ids, **columns):
            return self.make("items", ITEM_TYPES, [{"item_id": name, **columns} for name in ids])

    return Tables()


def put_aside(checked):
    return {row["row"]: row["reason"] for row in checked.bad.to_pyarrow().to_pylist()}


def test_bad_events_are_put_aside_with_a_reason(warehouse, tables):
    events = tables.events(
        GOOD,
        {**GOOD, "user_id": " "},
        {**GOOD, "time": None},
        {**GOOD, "item_id": None},
        {**GOOD, "item_id": "never heard of"},
        {**GOOD, "action": None},
        {**GOOD, "action": "search", "item_id": None, "query": "tea"},
        {**GOOD, "action": "search", "item_id": None},
    )
    checked = check_events(warehouse, events, tables.items("a"))
    assert put_aside(checked) == {
        1: "no user_id",
        2: "unparsable timestamp",
        3: "no item_id",
        4: "item not in items",
        5: "no action",
        7: "search without a query",
    }
    assert sorted(checked.good.to_pyarrow()["row"].to_pylist()) == [0, 6]


def test_an_unknown_action_stops_the_run(warehouse, tables):
    events = tables.events(GOOD, {**GOOD, "action": "buy"}, {**GOOD, "action": "buy"})
    message = r"events: unknown action 'buy' \(2 rows, first: row 1\); ours are search, .*; map .* with data\.actions"
    with pytest.raises(InputError, match=message):
        check_events(warehouse, events, tables.items("a"))


def test_empty_tables_stop_the_run(warehouse, tables):
    with pytest.raises(InputError, match="the events table is empty"):
        check_events(warehouse, tables.events(), tables.items("a"))
    with pytest.raises(InputError, match="the items table is empty"):
        check_items(warehouse, tables.make("none", ITEM_TYPES, []))


def test_the_first_row_of_an_item_counts(warehouse, tables):
    checked = check_items(warehouse, tables.items("a", "b", "a", None))
    assert put_aside(checked) == {2: "item_id again", 3: "no item_id"}


def test_an_item_that_ends_before_it_begins_is_put_aside(warehouse, tables):
    checked = check_items(warehouse, tables.items("a", available_from=10, available_until=10))
    assert put_aside(checked) == {0: "available_until not after available_from"}


def test_the_first_row_of_a_user_counts(warehouse, tables):
    users = tables.make("users", USER_TYPES, [{"user_id": "u"}, {"user_id": "u"}, {}])
    assert put_aside(check_users(warehouse, users)) == {1: "user_id again", 2: "no user_id"}


def test_relations_need_two_known_items(warehouse, tables):
    rows = [
        {"item_id": "a", "other_id": "b", "relation": "variant"},
        {"item_id": "a", "other_id": "x", "relation": "variant"},
        {"item_id": "a", "other_id": "a", "relation": "variant"},
        {"item_id": "a", "other_id": "b"},
    ]
    relations = tables.make("relations", RELATION_TYPES, rows)
    checked = check_relations(warehouse, relations, tables.items("a", "b"))
    assert put_aside(checked) == {1: "item not in items", 2: "item related to itself", 3: "no relation"}


def test_an_unknown_relation_stops_the_run(warehouse, tables):
    relations = tables.make("relations", RELATION_TYPES, [{"item_id": "a", "other_id": "b", "relation": "cousin"}])
    with pytest.raises(InputError, match=r"relations: unknown relation 'cousin' .*; ours are variant, complement"):
        check_relations(warehouse, relations, tables.items("a", "b"))


def test_a_few_bad_rows_are_told_and_too_many_stop_the_run(warehouse, tables):
    events = tables.events(*[GOOD] * 7, {**GOOD, "time": None}, {**GOOD, "time": None}, {**GOOD, "user_id": None})
    checked = check_events(warehouse, events, tables.items("a"))
    sentence = "events: 3 of 10 rows put aside: 2 unparsable timestamp (first: row 7), 1 no user_id (first: row 9)"
    assert refuse_over_share(checked, 0.3, "q.parquet") == sentence
    with pytest.raises(InputError, match=r"that is 30\.0%, and at most 29\.0% is allowed .*; the rows are listed in q"):
        refuse_over_share(checked, 0.29, "q.parquet")


def test_nothing_put_aside_is_nothing_to_tell(warehouse, tables):
    checked = check_events(warehouse, tables.events(GOOD), tables.items("a"))
    assert refuse_over_share(checked, 0.0, "q.parquet") == ""
