"""The database that reduces logs: DuckDB behind Ibis, embedded and out of core."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

MICROSECONDS_TYPE = dt.int64


def open_warehouse(threads: int = 0, memory_gb: float = 2.0, folder: Path | None = None) -> Backend:
    """Open a DuckDB database.

    Args:
        threads: of DuckDB; 0 takes every core.
        memory_gb: what DuckDB may hold before it spills to disk.
        folder: where the database and its spills lie; a database left there by a cut-off run is removed.
            None keeps the tables in memory.
    """
    settings = {"threads": threads or len(os.sched_getaffinity(0)), "memory_limit": f"{memory_gb}GB"}
    if folder is None:
        return ibis.duckdb.connect(**settings)
    database = folder / "tables.duckdb"
    for leftover in folder.glob("tables.duckdb*"):
        leftover.unlink()
    return ibis.duckdb.connect(database, temp_directory=str(folder / "spill"), **settings)


def keep(warehouse: Backend, name: str, table: ir.Table) -> ir.Table:
    """Compute ``table`` once and return it as a stored table, so that what follows does not compute it again."""
    return warehouse.create_table(name, table, overwrite=True)


def count_rows(table: ir.Table) -> int:
    """Return how many rows ``table`` has."""
    return int(table.count().to_pyarrow().as_py())


def from_sql(warehouse: Backend, name: str, query: str) -> ir.Table:
    """Store the result of a DuckDB query as table ``name`` and return it.

    Only for what Ibis cannot say: reading files, and the order of their rows.
    """
    warehouse.raw_sql(f'CREATE OR REPLACE TABLE "{name}" AS {query}').fetchall()
    return cast(ir.Table, warehouse.table(name))


def quoted(text: str | Path) -> str:
    """Return ``text`` as an SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"
