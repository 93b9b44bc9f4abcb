"""Search terms as product text: what people asked for before they looked at an item, or bought it.

Shoppers have words for a product that its title lacks. Only events before a window are read, and a query counts for an
item only if enough different users went from one to the other, so no single person's words are told. Written in Ibis.
"""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
from ibis.backends.duckdb import Backend

from commerce.columns import ACTION_CODES, NO_ITEM, NO_QUERY
from commerce.plain_text import plain

_LED_TO = [ACTION_CODES[action] for action in ("view", "favorite", "cart", "purchase")]


def count_terms(
    warehouse: Backend, events: ir.Table, queries: Sequence[str], items: int, *, most: int, min_users: int
) -> list[list[str]]:
    """Return each item's top queries, by how many users they led to it; ties by query code.

    A query led to what its user viewed or chose after it in the same session, up to the next query. Queries that differ
    in case, width or white space are one, told as first written.

    Args:
        warehouse: that ``events`` lie in.
        events: as ``counted_events`` gives them with ``searches=True``.
        queries: text by query code.
        items: number of items.
        most: queries of an item at most.
        min_users: different users whom a query must have led to the item.
    """
    alike: dict[str, int] = {}
    code = [alike.setdefault(plain(query), place) for place, query in enumerate(queries)]
    same = pa.table({"asked": pa.array(range(len(code)), pa.int32()), "query": pa.array(code, pa.int32())})
    # Places grow along a history, so the greatest one of a query so far is the latest query's.
    asked_at = ibis.ifelse(events["query"] != NO_QUERY, events.place, None)
    so_far = ibis.cumulative_window(group_by=["user", "session"], order_by="place")
    after = events.mutate(asked_at=asked_at.max().over(so_far))
    led = after.filter(after.action.isin(_LED_TO) & (after.item != NO_ITEM) & after.asked_at.notnull())
    searches = events.filter(events["query"] != NO_QUERY).select(at="place", asked="query")
    words = searches.join(ibis.memtable(same), "asked").select("at", code="query")
    known = led.join(words, led.asked_at == words.at)
    counted = known.group_by(["item", "code"]).agg(users=known.user.nunique())
    often = counted.filter(counted.users >= min_users)
    order = ibis.window(group_by="item", order_by=[ibis.desc("users"), ibis.asc("code")])
    top = often.mutate(number=ibis.row_number().over(order)).filter(lambda t: t.number < most)
    table = warehouse.to_pyarrow(top.select("item", "code", "number").order_by("item", "number"))
    terms: list[list[str]] = [[] for _ in range(items)]
    for item, query in zip(*(np.asarray(table[name]).tolist() for name in ("item", "code")), strict=True):
        terms[item].append(queries[query])
    return terms
