"""Ingest: the shop's tables, checked, under integer codes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend

from commerce.checks import (
    Checked,
    check_events,
    check_items,
    check_relations,
    check_users,
    coded_intents,
    refuse_over_share,
)
from commerce.columns import ACTION_CODES, ACTIONS, MICROSECONDS, NO_ITEM
from commerce.ids import extend_ids
from commerce.tables import read_tables
from commerce.warehouse import count_rows, keep, open_warehouse
from configs.schema import DataConfig
from pipeline.forgotten import listed
from pipeline.stage import Outcome, Work
from pipeline.stage_key import blocked_files
from serving.rights import ListFile

NEVER = np.iinfo(np.int64).min
"""``available_until`` of an item that is never available."""
_NO_RELATIONS = pa.table(
    {
        "item": pa.array([], pa.int32()),
        "other": pa.array([], pa.int32()),
        "relation": pa.array([], pa.string()),
        "source": pa.array([], pa.string()),
    }
)
_REPLACED = ("user_id", "item_id", "session_id", "known_user", "known_item")


def ingest(work: Work) -> Outcome:
    """Read, check and code the tables; bad rows go to ``quarantine.parquet``."""
    data = work.config.data
    warehouse = open_warehouse(work.config.run.threads, data.memory_gb, work.scratch())
    raw = read_tables(data, work.config.bazaar, warehouse, work.scratch())
    items = check_items(warehouse, raw.items)
    assert raw.events is not None  # else this shop goes the way of pipeline.items_only
    events = raw.events
    if data.event_intent:
        events = coded_intents(events, data.event_intent, data.intents)
    checked = {"events": check_events(warehouse, events, items.good), "items": items}
    if raw.users is not None:
        checked["users"] = check_users(warehouse, raw.users)
    if raw.relations is not None:
        checked["relations"] = check_relations(warehouse, raw.relations, items.good)
    lines = raw.notes + put_aside(checked, data.max_quarantine_share, work.out / "quarantine.parquet")

    users = checked["users"].good if "users" in checked else None
    events, users, forgotten = without_forgotten(work, warehouse, checked["events"].good, users)
    lines += forgotten
    known = known_ids(work)
    item_ids = extend_ids(warehouse, "item_ids", items.good.select(id="item_id", place="row"), known.get("item_ids"))
    user_ids = extend_ids(warehouse, "user_ids", _users_in_order(events, users), known.get("user_ids"))
    _write(item_ids.order_by("code"), work.out / "item_ids.parquet")
    _write(user_ids.order_by("code"), work.out / "user_ids.parquet")
    _write(coded_events(events, item_ids, user_ids), work.out / "events.parquet")
    blocked = blocked_ids(data)
    _write(coded_items(items.good, item_ids, blocked), work.out / "items.parquet")
    _write(coded_users(users, user_ids), work.out / "users.parquet")
    relations = checked["relations"].good if "relations" in checked else None
    _write(coded_relations(warehouse, relations, item_ids), work.out / "relations.parquet")
    summary = _summary(warehouse, work.out)
    (work.out / "summary.json").write_text(json.dumps(summary, indent=1))
    lines.append(
        f"{summary['events']:,} events of {summary['users']:,} users and {summary['items']:,} items, "
        f"{summary['first']} to {summary['last']}"
    )
    warehouse.disconnect()
    return Outcome(lines)


def coded_events(events: ir.Table, item_ids: ir.Table, user_ids: ir.Table) -> ir.Table:
    """Return events under codes, sorted by (user, time, row); a given session's code is its first row."""
    items = item_ids.select(item="code", known_item="id")
    users = user_ids.select(user="code", known_user="id")
    joined = events.join(users, events.user_id == users.known_user)
    joined = joined.left_join(items, joined.item_id == items.known_item)
    of_session = ibis.window(group_by=[joined.user, joined.session_id])
    joined = joined.mutate(
        item=ibis.ifelse(joined.action == "search", NO_ITEM, joined.item).cast("int32"),
        action=ibis.cases(*((joined.action == word, code) for word, code in ACTION_CODES.items())).cast("uint8"),
        session=ibis.ifelse(joined.session_id.isnull(), ibis.null("int64"), joined.row.min().over(of_session)),
    )
    first = ["row", "user", "item", "action", "time", "session", "query", "request_id", "position", "price", "quantity"]
    left_out = {*first, *_REPLACED}
    extra = [name for name in joined.columns if name not in left_out]
    return joined.select(*first, *extra).order_by("user", "time", "row")


def coded_items(items: ir.Table, item_ids: ir.Table, blocked: Sequence[str] = ()) -> ir.Table:
    """Return one row per item code, in order; one that is blocked, or no longer in the table, is never available."""
    ids = item_ids.select(item="code", known="id")
    joined = ids.left_join(items, ids.known == items.item_id)
    away = joined.item_id.isnull()
    if blocked:
        away = away | joined.known.isin(list(blocked))
    joined = joined.mutate(
        available_until=ibis.ifelse(away, ibis.literal(NEVER), joined.available_until),
        item_id=joined.known,
    )
    rest = [name for name in joined.columns if name not in ("item", "item_id", "known", "row")]
    return joined.select("item", "item_id", *rest).order_by("item")


def coded_users(users: ir.Table | None, user_ids: ir.Table) -> ir.Table:
    """Return one row per user code, in order; features of users without a row are null."""
    ids = user_ids.select(user="code", user_id="id")
    if users is None:
        return ids.order_by("user")
    joined = ids.left_join(users.drop("row"), "user_id")
    rest = [name for name in joined.columns if name not in ("user", "user_id", "user_id_right")]
    return joined.select("user", "user_id", *rest).order_by("user")


def coded_relations(warehouse: Backend, relations: ir.Table | None, item_ids: ir.Table) -> ir.Table:
    """Return declared relations under codes, each pair once per relation; an empty table where none are declared."""
    if relations is None:
        return warehouse.create_table("no_relations", _NO_RELATIONS, overwrite=True)
    one = item_ids.select(item="code", one_id="id")
    two = item_ids.select(other="code", two_id="id")
    joined = relations.join(one, relations.item_id == one.one_id)
    joined = joined.join(two, joined.other_id == two.two_id)
    pairs = joined.group_by(["item", "other", "relation"]).agg(source=joined.source.min())
    return pairs.order_by("item", "other", "relation")


def blocked_ids(data: DataConfig) -> list[str]:
    """Return the ids that ``data.blocked`` lists."""
    lines = [line for file in blocked_files(data) for line in ListFile(file).lines()]
    return list(dict.fromkeys(lines))


def without_forgotten(
    work: Work, warehouse: Backend, events: ir.Table, users: ir.Table | None
) -> tuple[ir.Table, ir.Table | None, list[str]]:
    """Leave out the users whom ``mercato forget`` has removed from this run; say how many of them the log has."""
    ids = (
        events.select("user_id").distinct()
        if users is None
        else events.select("user_id").union(users.select("user_id"), distinct=True)
    )
    known = listed(work.run.root, work.config.export.hash_key_variable)
    if not known:
        return events, users, []
    found = [user for user in ids.to_pyarrow()["user_id"].to_pylist() if known.has(user)]
    if not found:
        return events, users, [f"{len(known)} users were forgotten; the log has none of them"]
    gone = warehouse.create_table("forgotten", pa.table({"user_id": pa.array(found, pa.string())}), overwrite=True)
    kept = keep(warehouse, "kept_events", events.anti_join(gone, "user_id"))
    left = None if users is None else keep(warehouse, "kept_users", users.anti_join(gone, "user_id"))
    warehouse.drop_table("forgotten")
    return kept, left, [f"{len(found)} users of the log were forgotten (mercato forget) and are left out"]


def put_aside(checked: dict[str, Checked], share: float, file: Path) -> list[str]:
    """Write the quarantine file, then refuse a table with too many bad rows; return what to say."""
    bad = ibis.union(*(part.bad for part in checked.values())) if len(checked) > 1 else next(iter(checked.values())).bad
    _write(bad.order_by("table", "row"), file)
    sentences = [refuse_over_share(part, share, str(file)) for part in checked.values()]
    return [sentence for sentence in sentences if sentence]


def _users_in_order(events: ir.Table, users: ir.Table | None) -> ir.Table:
    """Return user ids with their place: as they come up in events, then those that only the users table has."""
    met = events.select(id="user_id", place="row")
    if users is None:
        return met
    after = int(events.row.max().to_pyarrow().as_py()) + 1
    return met.union(users.select(id=users.user_id, place=users.row + after))


def known_ids(work: Work) -> dict[str, Path]:
    """Return the id maps of this run folder's earlier ingest, if it read the same source."""
    manifest = work.run.manifest("ingest")
    now = {"data": asdict(work.config.data), "bazaar": asdict(work.config.bazaar)}
    if manifest is None or _source(manifest["settings"]) != _source(now):
        return {}
    folder = work.run.stage("ingest")
    return {name: folder / f"{name}.parquet" for name in ("item_ids", "user_ids")}


def _source(settings: dict[str, Any]) -> list[Any]:
    """Return what makes two logs states of one shop, so that codes given once stay."""
    data = settings["data"]
    shop = settings["bazaar"] if data["reader"] == "bazaar" else None
    return [data["reader"], data["folder"], data["events"], data["items"], shop]


def _summary(warehouse: Backend, folder: Path) -> dict[str, Any]:
    events = warehouse.read_parquet(folder / "events.parquet")
    by_action = {ACTIONS[code]: rows for code, rows in events.action.value_counts(name="rows").execute().values}
    span = events.agg(first=events.time.min(), last=events.time.max()).to_pyarrow().to_pylist()[0]
    return {
        "events": count_rows(events),
        "users": pq.read_metadata(folder / "users.parquet").num_rows,
        "items": pq.read_metadata(folder / "items.parquet").num_rows,
        "relations": pq.read_metadata(folder / "relations.parquet").num_rows,
        "quarantined": pq.read_metadata(folder / "quarantine.parquet").num_rows,
        "actions": {action: int(by_action[action]) for action in ACTIONS if action in by_action},
        "first": _day(span["first"]),
        "last": _day(span["last"]),
    }


def _day(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / MICROSECONDS, UTC).strftime("%Y-%m-%d %H:%M")


def _write(table: ir.Table, path: Path) -> None:
    table.to_parquet(path)
