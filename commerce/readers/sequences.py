"""Reader of leave-last-out files: a line per user, its id and then its item ids in order of time.

The files carry no times. Each event is put one day after the one before it, so that order is kept and every event
is a group and a session of its own; a user's first event falls on 1970-01-01. Nothing may be read into the
distances, nor into comparisons of times between users.
"""

from __future__ import annotations

from pathlib import Path

from ibis.backends.duckdb import Backend

from commerce.columns import DAY
from commerce.raw import EVENT_TYPES, ITEM_TYPES, RawTables, with_columns
from commerce.warehouse import from_sql, quoted
from configs.errors import InputError
from configs.schema import BazaarConfig, DataConfig

_FILES = ("sequences.txt", "items.csv")


def input_files(data: DataConfig) -> list[Path]:
    """Return the two files of ``data.folder``.

    Raises:
        InputError: if the folder or one of them is not there.
    """
    files = [Path(data.folder) / name for name in _FILES]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise InputError(
            f"{', '.join(missing)} not found; data.folder must name a folder with {' and '.join(_FILES)}, "
            f"got {data.folder!r}"
        )
    return files


def read(data: DataConfig, bazaar: BazaarConfig, warehouse: Backend, folder: Path) -> RawTables:
    """Read the events, each a ``purchase``, and the items with all their columns as text."""
    sequences, items = input_files(data)
    events = from_sql(
        warehouse,
        "raw_events",
        f"""
        WITH lines AS (
            SELECT row_number() OVER () - 1 AS line, string_split(trim(line), ' ') AS ids
            FROM read_csv(
                {quoted(sequences)}, columns = {{'line': 'VARCHAR'}}, header = false, delim = '\\n', quote = ''
            )
            WHERE trim(line) <> ''
        ),
        spread AS (
            SELECT line, ids[1] AS user_id, unnest(ids[2:]) AS item_id, unnest(range(len(ids) - 1)) AS place FROM lines
        )
        SELECT row_number() OVER (ORDER BY line, place) - 1 AS row,
               user_id, item_id, 'purchase' AS action, place * {DAY} AS time
        FROM spread ORDER BY line, place
        """,
    )
    products = from_sql(
        warehouse,
        "raw_items",
        f"SELECT row_number() OVER () - 1 AS row, * FROM read_csv({quoted(items)}, all_varchar = true, header = true)",
    )
    return RawTables(events=with_columns(events, EVENT_TYPES), items=with_columns(products, ITEM_TYPES))
