"""``mercato milvus RUN``: the item vectors of a run in Milvus, for a catalogue that one machine does not hold."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np

from configs.errors import InputError

TOKEN = "MILVUS_TOKEN"
"""Environment variable of the token, which is written nowhere."""
_KINDS = ("HNSW", "IVF_FLAT", "FLAT")


@click.command(short_help="Put a run's item vectors into Milvus.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--uri", required=True, help="Of Milvus: http://host:19530, or a file ending with .db for Milvus Lite.")
@click.option("--collection", required=True, help="Alias to set once the collection is whole.")
@click.option("--field", "fields", multiple=True, help="Of the items, to filter by: brand, category, price ...; often.")
@click.option("--kind", default="HNSW", show_default=True, type=click.Choice(_KINDS), help="Of index; FLAT is exact.")
@click.option("--recall", "target", default=0.95, show_default=True, type=click.FloatRange(0, 1, min_open=True))
@click.option("--at-k", default=100, show_default=True, type=click.IntRange(1), help="Lists that the recall is of.")
def milvus(run: Path, uri: str, collection: str, fields: tuple[str, ...], kind: str, target: float, at_k: int) -> None:
    """Write the items of RUN (its folder or its config) into Milvus and milvus.json into the run folder.

    The recall is kept by measurement: user vectors of the validation window choose how far Milvus looks, those of the
    test window measure it again. A token is read from the environment variable MILVUS_TOKEN.
    """
    if find_spec("pymilvus") is None:
        raise InputError("Milvus needs pymilvus, which is not installed; pip install 'mercato[milvus]'")
    from pipeline.cli import run_folder_of
    from pipeline.run_folder import RunFolder
    from retrieval.index_folder import open_index
    from retrieval.milvus_export import export_to_milvus

    folder = RunFolder(run_folder_of(run))
    prepared, embedded = folder.stage("prepare"), folder.stage("embed")
    with np.load(prepared / "availability.npz") as availability:
        since, until = availability["from"], availability["until"]
    found = export_to_milvus(
        open_index(folder.stage("index"), gpus=0),
        uri,
        collection,
        since,
        until,
        fields=_fields(prepared / "item_fields.jsonl", fields),
        queries=np.load(embedded / "users_validation.npy"),
        fresh=np.load(embedded / "users_test.npy"),
        target_recall=target,
        at_k=at_k,
        kind=kind,
        token=os.environ.get(TOKEN, ""),
        say=click.echo,
    )
    found.save(folder.root)
    click.echo(_said(found.known.kind, found.known.reach, found.known.promise))
    click.echo(f"{folder.root / 'milvus.json'}: how to search it")


def _fields(file: Path, wanted: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return the values of declared fields by item code.

    Raises:
        InputError: for a field that no item has.
    """
    with file.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    known = sorted({name for row in rows for name in row})
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise InputError(f"items have no field {unknown[0]!r}; they have {', '.join(known)}")
    return {name: [row.get(name) for row in rows] for name in wanted}


def _said(kind: str, reach: dict[str, int], promise: dict[str, Any]) -> str:
    if not promise:
        return f"{kind}: exact search"
    one, fresh = promise["validation"], promise["fresh"]
    again = f", {fresh['mean']:.4f} on fresh ones" if fresh else ""
    looks = ", ".join(f"{name} {value}" for name, value in reach.items())
    return (
        f"{kind} with {looks}: recall@{promise['at_k']} {one['mean']:.4f} (surely {one['low']:.4f}) on "
        f"{one['queries']:,} requests{again}, for a promise of {promise['target_recall']:g}"
    )
