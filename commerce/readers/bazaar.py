"""Reader of the bazaar: generates the synthetic shop of the config's section ``bazaar``, then reads its files."""

from __future__ import annotations

from pathlib import Path

import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from commerce.bazaar import write_bazaar
from commerce.raw import EVENT_TYPES, ITEM_TYPES, RELATION_TYPES, USER_TYPES, RawTables, with_columns
from commerce.warehouse import from_sql, quoted
from configs.schema import BazaarConfig, DataConfig


def input_files(data: DataConfig) -> list[Path]:
    """Return no files: the shop is made from its settings alone."""
    return []


def read(data: DataConfig, bazaar: BazaarConfig, warehouse: Backend, folder: Path) -> RawTables:
    """Generate the shop into ``folder`` and read it; events keep the column ``cause``."""
    shop = write_bazaar(bazaar, folder / "bazaar")
    events = _stored(warehouse, "raw_events", shop.events, "* EXCLUDE timestamp, epoch_us(timestamp) AS time")
    items = _stored(
        warehouse,
        "raw_items",
        shop.items,
        "* REPLACE (epoch_us(available_from) AS available_from, epoch_us(available_until) AS available_until)",
    )
    rows = ", ".join(f"{count:,} {name}" for name, count in shop.rows.items())
    return RawTables(
        events=with_columns(events, EVENT_TYPES),
        items=with_columns(items, ITEM_TYPES),
        users=with_columns(_stored(warehouse, "raw_users", shop.users, "*"), USER_TYPES),
        relations=with_columns(_stored(warehouse, "raw_relations", shop.relations, "*"), RELATION_TYPES),
        notes=[f"bazaar of seed {bazaar.seed}: {rows}"],
    )


def _stored(warehouse: Backend, name: str, file: Path, columns: str) -> ir.Table:
    query = f"SELECT row_number() OVER () - 1 AS row, {columns} FROM read_parquet({quoted(file)})"
    return from_sql(warehouse, name, query)
