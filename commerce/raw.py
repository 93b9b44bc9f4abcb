"""What every reader hands on: the shop's tables under our column names, nothing checked yet."""

from __future__ import annotations

from dataclasses import dataclass, field

import ibis.expr.types as ir


@dataclass(frozen=True)
class RawTables:
    """Tables as read. Ids are strings, times are int64 microseconds UTC (null where unparsable).

    ``row`` (int64) in each is the row's place in its source, from 0, header not counted.
    """

    events: ir.Table | None
    """None where the shop has no log; else:
    row, user_id, item_id, action, time; session_id, request_id, query, position, price, quantity (all there, null
    where the shop has none); then whatever else the source has."""
    items: ir.Table
    """row, item_id, available_from, available_until, price; then whatever else the source has."""
    users: ir.Table | None = None
    """row, user_id; then features."""
    relations: ir.Table | None = None
    """row, item_id, other_id, relation, source."""
    notes: list[str] = field(default_factory=list)
    """What a person should know about the reading."""


EVENT_TYPES = {
    "user_id": "string",
    "item_id": "string",
    "action": "string",
    "time": "int64",
    "session_id": "string",
    "request_id": "string",
    "query": "string",
    "position": "int32",
    "price": "float64",
    "quantity": "float64",
}
"""Columns of every events table and their types."""
ITEM_TYPES = {"item_id": "string", "available_from": "int64", "available_until": "int64", "price": "float64"}
"""Columns of every items table."""
USER_TYPES = {"user_id": "string"}
"""Columns of every users table."""
RELATION_TYPES = {"item_id": "string", "other_id": "string", "relation": "string", "source": "string"}
"""Columns of every relations table."""


def with_columns(table: ir.Table, types: dict[str, str]) -> ir.Table:
    """Return ``table`` with every column of ``types``, cast, null where it was absent; these and ``row`` come first."""
    import ibis

    columns = {
        name: table[name].cast(kind) if name in table.columns else ibis.null().cast(kind)
        for name, kind in types.items()
    }
    rest = [name for name in table.columns if name not in columns and name != "row"]
    return table.mutate(**columns).select("row", *columns, *rest)
