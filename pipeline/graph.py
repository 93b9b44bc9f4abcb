"""``mercato graph RUN ITEM``: a page that draws what goes with an item, and what is looked at instead of it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from configs.errors import InputError

_MEASURES = ("swing", "lift", "cosine")
_NEAR = 5
"""Ids named where one is not known."""


@click.command(short_help="Draw what goes with an item.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("item")
@click.option("--measure", default="cosine", show_default=True, type=click.Choice(_MEASURES), help="Of counted edges.")
@click.option("-k", "--items", "k", default=10, show_default=True, type=click.IntRange(1), help="Neighbours of a kind.")
@click.option("--out", type=click.Path(path_type=Path), help="File to write; RUN/graph/ITEM.html unless said.")
def graph(run: Path, item: str, measure: str, k: int, out: Path | None) -> None:
    """Write the neighbourhood of ITEM in the association graph of RUN (its folder or its config) as one HTML file."""
    import pyarrow.parquet as pq

    from commerce.records import check_record
    from pipeline.cli import run_folder_of
    from pipeline.graph_file import FILE
    from pipeline.report.graph import fans_of, render_graph
    from pipeline.run_folder import RunFolder

    folder = RunFolder(run_folder_of(run))
    path = folder.stage("retrieve") / FILE
    if not path.is_file():
        raise InputError(f"{path} is not there; run `mercato retrieve CONFIG` with graph.neighbours above 0")
    fields = _fields(folder.stage("prepare") / "item_fields.jsonl")
    if item not in fields:
        raise InputError(f"{folder.root} knows no item {item!r}; {_near(item, fields)}")
    check_record("graph", path)
    edges = pq.read_table(path, filters=[("item", "=", item)]).to_pylist()
    fans = fans_of(edges, fields, measure, k)
    if not fans:
        raise InputError(
            f"item {item!r} has no edges in {path}: too few users met it with any other item (graph.min_support), "
            "or it has no text to go by"
        )
    target = out or folder.root / "graph" / f"{quote(item, safe='')}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(render_graph(folder.root.name, fields[item], fans, edges, fields, measure), encoding="utf-8")
    told = ", ".join(f"{len(fan.leaves)} of kind {fan.kind}" for fan in fans)
    click.echo(f"{target}: {fields[item]['title']}; neighbours: {told}")


def _fields(path: Path) -> dict[str, Mapping[str, Any]]:
    """Return what people see of each item, by the shop's id."""
    with path.open(encoding="utf-8") as file:
        return {str(row["item_id"]): row for row in map(json.loads, file)}


def _near(item: str, fields: Mapping[str, Any]) -> str:
    """Name ids that look like ``item``: the nearest by spelling, else the first ones, so that their form is seen."""
    near = difflib.get_close_matches(item, fields, n=_NEAR, cutoff=0.5)
    return f"near ids are {', '.join(near)}" if near else f"its ids look like {', '.join(list(fields)[:_NEAR])}"
