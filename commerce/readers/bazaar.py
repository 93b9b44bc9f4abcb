"""Reader of the bazaar, the synthetic shop: it is generated first, then read as any shop's files are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ibis.backends.duckdb import Backend

from commerce.bazaar import write_bazaar
from commerce.raw import RawTables
from commerce.readers import shop_files
from configs.schema import BazaarConfig, DataConfig


def input_files(data: DataConfig) -> list[Path]:
    """Return no files: the shop follows from its settings."""
    return []


def read(data: DataConfig, bazaar: BazaarConfig, warehouse: Backend, folder: Path) -> RawTables:
    """Generate the shop of ``bazaar`` into ``folder`` and read it.

    The true cause of each purchase stays a column of its own, for studies; no model reads it.
    """
    written = write_bazaar(bazaar, folder / "bazaar")
    files = replace(
        data,
        folder="",
        events=str(written.events),
        items=str(written.items),
        users=str(written.users),
        relations=str(written.relations),
    )
    return shop_files.read(files, bazaar, warehouse, folder)
