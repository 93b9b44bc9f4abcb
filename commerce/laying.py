"""From a stored log to the arrays of ``histories``: queries under codes, events laid in order, batch by batch."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import ibis
import ibis.expr.types as ir
import numpy as np
from ibis.backends.duckdb import Backend

from commerce.columns import ACTION_CODES, NO_QUERY
from commerce.histories import Histories
from commerce.warehouse import count_rows, keep

_BATCH = 1_000_000
_TYPES = {"item": np.int32, "action": np.uint8, "time": np.int64, "query": np.int32, "session": np.int64}


def with_query_codes(warehouse: Backend, events: ir.Table) -> tuple[ir.Table, ir.Table]:
    """Give codes to search terms, in the order in which they first come up.

    Args:
        warehouse: database that keeps both results.
        events: row, query (text or null) and any other columns.

    Returns: ``events`` with ``query`` as int32 code, ``NO_QUERY`` where there is none; and (query, text) by code.
    """
    text = events["query"].strip().nullif("")
    texts = events.mutate(text=text).filter(lambda t: t.text.notnull())
    first = texts.group_by("text").agg(row=texts.row.min())
    code = ibis.row_number().over(ibis.window(order_by="row")).cast("int32")
    queries = keep(warehouse, "queries", first.select(query=code, text="text"))
    known = queries.select(known_text="text", code="query")
    joined = events.mutate(text=text).left_join(known, [("text", "known_text")])
    coded = joined.mutate(query=joined.code.coalesce(ibis.literal(NO_QUERY)).cast("int32"))
    return keep(warehouse, "events", coded.drop("text", "known_text", "code")), queries.order_by("query")


def lay_histories(events: ir.Table, actions: Collection[str], users: int, folder: Path) -> Histories:
    """Write the events with one of ``actions`` as memory-mapped arrays and open them.

    Args:
        events: user, item, action (code), time, query (code), session, row.
        actions: those that enter histories.
        users: number of users; one without events gets an empty history.
        folder: where the arrays go.
    """
    kept = events.filter(events.action.isin([ACTION_CODES[action] for action in actions]))
    size = count_rows(kept)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=kind, shape=(size,))
        for name, kind in _TYPES.items()
    }
    counts = np.zeros(users, dtype=np.int64)
    start = 0
    for batch in kept.order_by("user", "time", "row").select("user", *_TYPES).to_pyarrow_batches(chunk_size=_BATCH):
        stop = start + batch.num_rows
        for name, array in arrays.items():
            array[start:stop] = batch[name].to_numpy()
        counts += np.bincount(batch["user"].to_numpy(), minlength=users)
        start = stop
    for array in arrays.values():
        array.flush()
    np.save(folder / "offsets.npy", np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
    return Histories.open(folder)
