"""The id map: ids of the shop outside, integer codes inside, append-only."""

from __future__ import annotations

from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.duckdb import Backend

from commerce.warehouse import count_rows, keep


def extend_ids(warehouse: Backend, name: str, found: ir.Table, known: Path | None = None) -> ir.Table:
    """Return the id map (code int32, id string) of ``known`` with the ids of ``found`` appended.

    Args:
        warehouse: database that keeps the map.
        name: of the stored table.
        found: columns ``id`` (string, may repeat) and ``place`` (int64): new ids get their codes in order of their
            least place.
        known: Parquet file of the map so far, if there is one; its codes stay as they are.
    """
    first = found.group_by("id").agg(place=found.place.min())
    if known is None:
        empty = pa.table({"code": pa.array([], pa.int32()), "id": pa.array([], pa.string())})
        before = warehouse.create_table(f"{name}_before", empty, overwrite=True)
    else:
        before = keep(warehouse, f"{name}_before", warehouse.read_parquet(known))
    new = first.anti_join(before, "id")
    order = ibis.window(order_by=[new.place, new.id])
    appended = new.select(code=(ibis.row_number().over(order) + count_rows(before)).cast("int32"), id=new.id)
    return keep(warehouse, name, before.union(appended))
