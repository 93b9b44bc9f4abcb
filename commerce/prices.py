"""Prices: what an item last cost before a moment of each user's history."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
from ibis.backends.duckdb import Backend
from numpy.typing import NDArray


def last_prices(warehouse: Backend, events: ir.Table, until: NDArray[np.int64], items: int) -> NDArray[np.float32]:
    """Return the price in each item's last event that has one, NaN without, float32 ``[items]``.

    Args:
        warehouse: database that holds ``events``.
        events: user, item, time, row, price.
        until: ``[users]``, microseconds; only a user's strictly earlier events count.
        items: number of items.
    """
    limits = pa.table({"limited": np.arange(len(until), dtype=np.int32), "until": until})
    limit = warehouse.create_table("price_limits", limits, overwrite=True)
    joined = events.join(limit, events.user == limit.limited)
    priced = joined.filter((joined.time < joined.until) & (joined.price > 0) & (joined.item >= 0))
    latest = ibis.window(group_by="item", order_by=[ibis.desc("time"), ibis.desc("row")])
    last = priced.mutate(place=ibis.row_number().over(latest)).filter(lambda t: t.place == 0)
    found = last.select("item", "price").to_pyarrow()
    prices = np.full(items, np.nan, dtype=np.float32)
    prices[found["item"].to_numpy()] = found["price"].to_numpy()
    return prices
