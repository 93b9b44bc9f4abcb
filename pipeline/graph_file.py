"""``graph.parquet``: the association graph under the shop's own ids, for people and other systems (docs/graph.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.graph import MEASURES, count_graph, graph_edges
from commerce.groups import KINDS
from commerce.records import GRAPH, write_table
from configs.schema import GraphConfig
from retrieval.lexical import LexicalSource
from retrieval.text_edges import edges_by_text

FILE = "graph.parquet"
LOG, TEXT, DECLARED = "log", "text", "declared"
"""Where an edge comes from: counted over events, likeness of texts, the shop's own relations."""


def write_graph(
    path: Path, events: ir.Table, settings: GraphConfig, ids: Sequence[str], texts: Sequence[str], relations: Path
) -> str:
    """Write the graph, and return what a person should know of it.

    Args:
        path: of the file.
        events: as ``counted_events`` gives them.
        settings: of the graph.
        ids: the shop's, by item code.
        texts: by item code.
        relations: ``relations.parquet`` of ``ingest``.
    """
    counted = count_graph(events, settings)
    parts = [
        _part(
            ids,
            counted["item"].to_numpy(),
            counted["other"].to_numpy(),
            np.array(KINDS)[counted["kind"].to_numpy()],
            np.array(MEASURES)[counted["measure"].to_numpy()],
            counted["weight"].to_numpy(),
            counted["support"].to_numpy(),
            LOG,
        )
    ]
    new = 0
    if settings.text_neighbours:
        met = np.zeros(len(ids), dtype=bool)
        met[events.select("item").distinct().to_pyarrow()["item"].to_numpy()] = True
        complements = graph_edges(counted, "complement", "cosine", len(ids))
        by_text = edges_by_text(LexicalSource.build(texts), texts, met, complements, settings.text_neighbours)
        new = len(np.unique(by_text["substitute"].item))
        parts += [_part(ids, own.item, own.other, kind, TEXT, own.weight, 0, TEXT) for kind, own in by_text.items()]
    declared = pq.read_table(relations, columns=["item", "other", "relation"])
    kinds = np.array(declared["relation"].to_pylist(), dtype=np.str_)
    parts.append(
        _part(ids, declared["item"].to_numpy(), declared["other"].to_numpy(), kinds, DECLARED, 1.0, 0, DECLARED)
    )
    table = pa.concat_tables(parts).sort_by([(name, "ascending") for name in ("item", "kind", "measure")])
    write_table(table, GRAPH, "graph", path)
    return (
        f"{FILE}: {len(table):,} edges, {len(declared):,} of them declared; {new:,} items that nobody has met have "
        "edges by text alone"
    )


def _part(
    ids: Sequence[str],
    item: NDArray[np.integer],
    other: NDArray[np.integer],
    kind: NDArray[np.str_] | str,
    measure: NDArray[np.str_] | str,
    weight: NDArray[np.floating] | float,
    support: NDArray[np.integer] | int,
    source: str,
) -> pa.Table:
    """Return edges as rows; what is one value holds for all of them."""
    names = pa.array(ids, pa.string())

    def every(value: object, kind: pa.DataType) -> pa.Array:
        return pa.array(np.broadcast_to(np.asarray(value), item.shape), kind)

    columns = {
        "item": names.take(pa.array(item, pa.int64())),
        "other": names.take(pa.array(other, pa.int64())),
        "kind": every(kind, pa.string()),
        "measure": every(measure, pa.string()),
        "weight": every(weight, pa.float32()),
        "support": every(support, pa.int32()),
        "source": every(source, pa.string()),
    }
    return pa.table(columns, schema=GRAPH)
