import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from configs.errors import InputError
from configs.schema import Config, DataConfig, RunConfig
from pipeline.forget import forget_user
from pipeline.run_stages import run_stages

EVENTS = """\
user_id,timestamp,action,item_id,query,session_id,mood
bo,2024-01-02T10:00:00Z,view,tea,,s1,calm
al,2024-01-02T09:00:00Z,search,,green tea,,
al,2024-01-02T09:01:00Z,purchase,pot,,,
bo,2024-01-02T08:00:00Z,cart,tea,,s1,
"""
ITEMS = "item_id,title\npot,Pot\ntea,Tea\n"
USERS = "user_id,age\nzoe,40\nbo,30\n"
RELATIONS = "item_id,other_id,relation\npot,tea,complement\npot,tea,complement\n"


@pytest.fixture
def shop(tmp_path):
    """Return a function: CSV tables -> (what ingest said, its folder)."""

    def ingest(events=EVENTS, items=ITEMS, users=USERS, relations=RELATIONS, **settings):
        texts = {"events": events, "items": items, "users": users, "relations": relations}
        files = {name: f"{name}.csv" for name, text in texts.items() if text}
        for name in files:
            (tmp_path / files[name]).write_text(texts[name])
        data = DataConfig(folder=str(tmp_path), **files, **settings)
        config = Config(run=RunConfig(name="shop", folder=str(tmp_path / "run"), threads=1), data=data)
        said = []
        run_stages(config, ["ingest"], said.append)
        return said, tmp_path / "run" / "ingest"

    return ingest


def rows(folder, name, *columns):
    table = pq.read_table(folder / f"{name}.parquet")
    return [tuple(row.values()) for row in table.select(columns or table.column_names).to_pylist()]


def test_events_come_under_codes_sorted_by_user_and_time(shop):
    said, folder = shop()
    assert rows(folder, "user_ids") == [(0, "bo"), (1, "al"), (2, "zoe")]
    assert rows(folder, "item_ids") == [(0, "pot"), (1, "tea")]
    assert rows(folder, "events", "row", "user", "item", "action", "session", "query", "mood") == [
        (3, 0, 1, 4, 0, None, None),
        (0, 0, 1, 2, 0, None, "calm"),
        (1, 1, -1, 0, None, "green tea", None),
        (2, 1, 0, 5, None, None, None),
    ]
    types = {field.name: str(field.type) for field in pq.read_schema(folder / "events.parquet")}
    assert {name: types[name] for name in ("row", "user", "item", "action", "time", "session")} == {
        "row": "int64",
        "user": "int32",
        "item": "int32",
        "action": "uint8",
        "time": "int64",
        "session": "int64",
    }
    assert said[0] == "4 events of 3 users and 2 items, 2024-01-02 08:00 to 2024-01-02 10:00"


def test_items_users_and_relations_lie_by_code(shop):
    _, folder = shop()
    assert rows(folder, "items", "item", "item_id", "title") == [(0, "pot", "Pot"), (1, "tea", "Tea")]
    assert rows(folder, "users", "user", "user_id", "age") == [(0, "bo", "30"), (1, "al", None), (2, "zoe", "40")]
    assert rows(folder, "relations") == [(0, 1, "complement", None)]
    assert json.loads((folder / "summary.json").read_text())["actions"] == {
        "search": 1,
        "view": 1,
        "cart": 1,
        "purchase": 1,
    }


def test_bad_rows_go_to_quarantine_and_are_told(shop):
    events = EVENTS + "al,never,view,tea,,,\nal,2024-01-02T09:02:00Z,view,cup,,,\n"
    said, folder = shop(events, max_quarantine_share=0.5)
    assert rows(folder, "quarantine") == [
        ("events", 4, "unparsable timestamp"),
        ("events", 5, "item not in items"),
    ]
    assert said[0].startswith("events: 2 of 6 rows put aside: 1 item not in items (first: row 5), 1 unparsable")


def test_the_shops_own_intent_labels_come_in_as_codes(shop):
    words = {"calm": "browse", "keen": "buy"}
    events = EVENTS + "bo,2024-01-02T11:00:00Z,view,tea,,s1,keen\nbo,2024-01-02T11:01:00Z,view,tea,,s1,compare\n"
    _, folder = shop(events, event_intent="mood", intents=words)
    assert rows(folder, "events", "row", "intent") == [(3, None), (0, 0), (4, 2), (5, 1), (1, None), (2, None)]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (
            {"event_intent": "mood"},
            r"unknown intent 'calm' \(1 rows, first: row 0\); ours are browse, compare, buy; map .* data.intents",
        ),
        ({"event_intent": "moods"}, "no column moods; did you mean mood"),
        (
            {"event_intent": "mood", "intents": {"calm": "brows"}},
            "data.intents.calm=brows: brows is not an intent; did you mean browse",
        ),
    ],
)
def test_intent_labels_that_are_not_known_stop_the_run(shop, settings, why):
    with pytest.raises(InputError, match=why):
        shop(**settings)


def test_too_many_bad_rows_stop_the_run_and_leave_no_stage(shop, tmp_path):
    with pytest.raises(InputError, match=r"1 of 3 rows put aside: 1 item_id again .*at most 1\.0% is allowed"):
        shop(items=ITEMS + "tea,Tea again\n")
    assert not (tmp_path / "run" / "ingest").exists()
    assert (tmp_path / "run" / ".ingest.tmp" / "quarantine.parquet").is_file()


def test_a_shop_without_users_and_relations_is_read(shop):
    _, folder = shop(users="", relations="")
    assert rows(folder, "users") == [(0, "bo"), (1, "al")]
    assert rows(folder, "relations") == []


def test_codes_stay_when_the_log_grows(shop):
    shop()
    # The item "pot" leaves the table (its purchase with it), "cup" comes in front, and a user is new.
    events = "user_id,timestamp,action,item_id\nnew,2024-01-01T10:00:00Z,view,cup\nbo,2024-01-02T10:00:00Z,view,tea\n"
    _, folder = shop(events, items="item_id,title\ncup,Cup\ntea,Tea\n", relations="")
    assert rows(folder, "item_ids") == [(0, "pot"), (1, "tea"), (2, "cup")]
    assert rows(folder, "user_ids") == [(0, "bo"), (1, "al"), (2, "zoe"), (3, "new")]
    never = np.iinfo(np.int64).min
    assert rows(folder, "items", "item_id", "title", "available_until") == [
        ("pot", None, never),
        ("tea", "Tea", None),
        ("cup", "Cup", None),
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"events": EVENTS.replace("user_id", "usr_id")}, "no column user_id; did you mean usr_id"),
        ({"events": EVENTS.splitlines()[0] + "\n"}, "the events table is empty"),
        ({"items": "item_id,title\n"}, "the items table is empty"),
        ({"events": EVENTS.replace(",cart,", ",basket,")}, "unknown action 'basket' (1 rows, first: row 3)"),
        ({"events": EVENTS.replace("Z", "")}, "4 times carry no zone"),
    ],
)
def test_what_stops_the_run_is_one_sentence_and_a_non_zero_exit(tmp_path, changed, message):
    tables = {"events": EVENTS, "items": ITEMS} | changed
    for name, text in tables.items():
        (tmp_path / f"{name}.csv").write_text(text)
    config = tmp_path / "shop.yaml"
    config.write_text(
        f"data: {{folder: {tmp_path}, events: events.csv, items: items.csv}}\nrun: {{folder: {tmp_path}/run}}\n"
    )
    from pipeline.cli import commands

    result = CliRunner().invoke(commands, ["ingest", str(config)])
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)
    assert result.exit_code != 0


def test_a_blocked_item_is_never_available_and_a_changed_list_is_read_again(shop, tmp_path):
    (tmp_path / "blocked.txt").write_text("tea\nunheard of\n")
    _, folder = shop(blocked="blocked.txt")
    never = np.iinfo(np.int64).min
    assert rows(folder, "items", "item_id", "available_until") == [("pot", None), ("tea", never)]
    (tmp_path / "blocked.txt").write_text("\n")
    said, folder = shop(blocked="blocked.txt")
    assert "skipped" not in said[0]
    assert rows(folder, "items", "item_id", "available_until") == [("pot", None), ("tea", None)]


def test_a_list_of_blocked_items_that_is_not_there_is_refused(shop):
    with pytest.raises(InputError, match=r"data.blocked=nowhere.txt.*no file"):
        shop(blocked="nowhere.txt")


def test_who_was_forgotten_is_left_out_of_events_and_users(shop, tmp_path, monkeypatch):
    monkeypatch.setenv("MERCATO_HASH_KEY", "key-of-the-tests")
    forget_user(tmp_path / "run", "bo", absent=True)
    said, folder = shop()
    assert rows(folder, "user_ids") == [(0, "al"), (1, "zoe")]
    assert {user for (user,) in rows(folder, "events", "user")} == {0}
    assert any("1 users of the log were forgotten" in line for line in said)
