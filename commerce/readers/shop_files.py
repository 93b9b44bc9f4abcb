"""Reader of any shop's own files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from commerce.columns import ACTIONS
from commerce.files import find_files, read_files
from commerce.mapping import as_id, map_words, overlooked_columns, rename_columns, require_columns
from commerce.raw import EVENT_TYPES, ITEM_TYPES, RELATION_TYPES, USER_TYPES, RawTables, with_columns
from commerce.times import microseconds
from configs.errors import InputError
from configs.schema import BazaarConfig, DataConfig

_NEEDED = ("events", "items")
_OPTIONAL = ("users", "relations")


def input_files(data: DataConfig) -> list[Path]:
    """Return the files of all tables that are set.

    Raises:
        InputError: if a needed table is not set, or a file is not there.
    """
    for name in _NEEDED:
        if not getattr(data, name):
            raise InputError(
                f"data.{name} is not set; name a Parquet, CSV or JSON-lines file, a folder of them, or a glob"
                + ("; a shop that has no log yet says data.events=none" if name == "events" else "")
            )
    return [file for name in (*_NEEDED, *_OPTIONAL) for file in _files(data, name)]


def read(data: DataConfig, bazaar: BazaarConfig, warehouse: Backend, folder: Path) -> RawTables:
    """Read the tables and give their columns our names and types.

    Raises:
        InputError: for a missing column, a time without zone, or an action mapped to none of ours.
    """
    input_files(data)
    tables = {
        name: read_files(warehouse, f"raw_{name}", files)
        for name in (*_NEEDED, *_OPTIONAL)
        if (files := _files(data, name))
    }
    notes: list[str] = []
    return RawTables(
        events=_events(tables["events"], data, notes) if "events" in tables else None,
        items=_items(tables["items"], data, notes),
        users=_users(tables["users"], data, notes) if "users" in tables else None,
        relations=_relations(tables["relations"], data, notes) if "relations" in tables else None,
        notes=notes,
    )


def _files(data: DataConfig, name: str) -> list[Path]:
    pattern = getattr(data, name)
    if not pattern or (name == "events" and data.items_only):
        return []
    return find_files(pattern, data.folder, f"data.{name}")


def _events(table: ir.Table, data: DataConfig, notes: list[str]) -> ir.Table:
    events = rename_columns(table, data.event_columns, (*EVENT_TYPES, "timestamp"), "event")
    require_columns(events, ("user_id", "timestamp", "action", "item_id"), "events", "data.event_columns")
    optional = [name for name in EVENT_TYPES if name not in ("user_id", "time", "action", "item_id")]
    notes += overlooked_columns(events, optional, "data.event_columns")
    ids = {
        name: as_id(events[name])
        for name in ("user_id", "item_id", "session_id", "request_id")
        if name in events.columns
    }
    numbers = {
        name: _number(events[name], EVENT_TYPES[name])
        for name in ("position", "price", "quantity")
        if name in events.columns
    }
    time = microseconds(events, "timestamp", "events.timestamp", data.timezone, data.time_unit)
    action = map_words(events.action, data.actions, ACTIONS, "data.actions", "an action")
    return with_columns(events.mutate(time=time, action=action, **ids, **numbers).drop("timestamp"), EVENT_TYPES)


def _items(table: ir.Table, data: DataConfig, notes: list[str]) -> ir.Table:
    items = rename_columns(table, data.item_columns, ITEM_TYPES, "item")
    require_columns(items, ("item_id",), "items", "data.item_columns")
    notes += overlooked_columns(items, ITEM_TYPES, "data.item_columns")
    times = {
        name: microseconds(items, name, f"items.{name}", data.timezone, data.time_unit)
        for name in ("available_from", "available_until")
        if name in items.columns
    }
    typed = _with_features(items, data.item_numeric, data.item_vector).mutate(item_id=as_id(items.item_id), **times)
    if "price" in typed.columns:
        typed = typed.mutate(price=_number(typed.price, "float64"))
    return with_columns(typed, ITEM_TYPES)


def _users(table: ir.Table, data: DataConfig, notes: list[str]) -> ir.Table:
    users = rename_columns(table, data.user_columns, USER_TYPES, "user")
    require_columns(users, ("user_id",), "users", "data.user_columns")
    return with_columns(_with_features(users, data.user_numeric).mutate(user_id=as_id(users.user_id)), USER_TYPES)


def _relations(table: ir.Table, data: DataConfig, notes: list[str]) -> ir.Table:
    relations = rename_columns(table, data.relation_columns, RELATION_TYPES, "relation")
    require_columns(relations, ("item_id", "other_id", "relation"), "relations", "data.relation_columns")
    notes += overlooked_columns(relations, RELATION_TYPES, "data.relation_columns")
    ids = {name: as_id(relations[name]) for name in ("item_id", "other_id")}
    return with_columns(relations.mutate(**ids), RELATION_TYPES)


def _with_features(table: ir.Table, numeric: Iterable[str], vector: str = "") -> ir.Table:
    """Read text in number and vector columns as what it says; what cannot be read becomes NaN and counts as missing."""
    changed = {}
    for name in numeric:
        if name in table.columns and isinstance(table[name].type(), dt.String):
            read = table[name].strip().nullif("").try_cast("float64")
            changed[name] = ibis.ifelse(table[name].strip() == "", ibis.null("float64"), read.coalesce(float("nan")))
    if vector in table.columns and isinstance(table[vector].type(), dt.String):
        changed[vector] = table[vector].try_cast("array<float64>")
    return table.mutate(**changed)


def _number(column: ir.Value, kind: str) -> ir.Value:
    """Return numbers as ``kind``; what is none, or not finite, becomes null."""
    number = column.try_cast("float64") if isinstance(column.type(), dt.String) else column.cast("float64")
    finite = ibis.ifelse(number.isnan() | number.isinf(), ibis.null("float64"), number)
    return finite.cast(kind)
