"""Tables in: which reader brings them, and which files it reads."""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ibis.backends.duckdb import Backend

from commerce.mapping import require_columns
from commerce.raw import RawTables
from commerce.texts import text_columns
from configs.errors import InputError
from configs.schema import BazaarConfig, DataConfig

READERS = {
    "tables": "commerce.readers.shop_files",
    "complete_journey": "commerce.readers.complete_journey",
    "sequences": "commerce.readers.sequences",
    "bazaar": "commerce.readers.bazaar",
}
"""``data.reader`` -> the module that reads: ``input_files(data)`` and ``read(data, bazaar, warehouse, folder)``."""


def input_files(data: DataConfig) -> list[Path]:
    """Return every file that ``read_tables`` will read; raises ``InputError`` where one is missing."""
    files: list[Path] = _reader(data).input_files(data)
    return files


def read_tables(data: DataConfig, bazaar: BazaarConfig, warehouse: Backend, folder: Path) -> RawTables:
    """Read the tables that ``data`` names.

    Args:
        data: the config's section.
        bazaar: what the synthetic shop is like, for the reader that makes one.
        warehouse: database into which the tables are read.
        folder: a reader may write intermediate files here.

    Raises:
        InputError: for files or columns that are not there, or times without a zone.
    """
    tables: RawTables = _reader(data).read(data, bazaar, warehouse, folder)
    _require_features(data, tables)
    return tables


def _require_features(data: DataConfig, tables: RawTables) -> None:
    """Refuse settings that name columns which the items or users do not have."""
    for setting, names in (
        ("item_text", text_columns(data.item_text)),
        ("item_categorical", data.item_categorical),
        ("item_numeric", data.item_numeric),
        ("item_vector", [data.item_vector] if data.item_vector else []),
        ("item_category", [data.item_category] if data.item_category else []),
    ):
        require_columns(tables.items, names, "items", f"data.{setting}, or name it ours with data.item_columns")
    for setting, names in (
        ("user_categorical", data.user_categorical),
        ("user_numeric", data.user_numeric),
        ("sensitive", data.sensitive),
    ):
        if names and tables.users is None:
            raise InputError(f"data.{setting} names {', '.join(names)}, but there is no users table; set data.users")
        if tables.users is not None:
            require_columns(tables.users, names, "users", f"data.{setting}, or name it ours with data.user_columns")


def _reader(data: DataConfig) -> ModuleType:
    if data.reader not in READERS:
        near = difflib.get_close_matches(data.reader, READERS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(READERS)}"
        raise InputError(f"data.reader={data.reader} is not a reader; {hint}")
    return import_module(READERS[data.reader])
