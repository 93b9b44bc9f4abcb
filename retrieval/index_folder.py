"""The folder of an index, whether it is of one piece or in shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from retrieval.index import ItemIndex
from retrieval.sharded import FACTS as SHARDS
from retrieval.sharded import ShardedIndex, shard_name
from retrieval.storage import FACTS as INDEX_FACTS
from retrieval.storage import index_files


def open_index(folder: Path, towers: str | None = None, gpus: int | None = None) -> ItemIndex | ShardedIndex:
    """Open the index in ``folder``, of one piece or in shards; errors as of ``ItemIndex.load``."""
    if (folder / SHARDS).is_file():
        return ShardedIndex.load(folder, towers)
    return ItemIndex.load(folder, gpus, towers)


def pieces(folder: Path) -> list[Path]:
    """Return the folders of the indexes that the one in ``folder`` is made of: itself, where it is in one piece."""
    if not (folder / SHARDS).is_file():
        return [folder]
    return [folder / shard_name(number) for number in range(json.loads((folder / SHARDS).read_text())["shards"])]


def read_facts(folder: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return ``index.json`` of the index in ``folder``, of its first shard where it has shards, and ``shards.json``."""
    facts: dict[str, Any] = json.loads((pieces(folder)[0] / INDEX_FACTS).read_text(encoding="utf-8"))
    if not (folder / SHARDS).is_file():
        return facts, None
    whole: dict[str, Any] = json.loads((folder / SHARDS).read_text(encoding="utf-8"))
    return facts, whole


def files_of(folder: Path) -> list[Path]:
    """Return the files of the index in force in ``folder``, of one piece or in shards."""
    files = [file for piece in pieces(folder) for file in index_files(piece)]
    return files + [folder / SHARDS] * (folder / SHARDS).is_file()
