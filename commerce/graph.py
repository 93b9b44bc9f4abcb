"""The association graph: typed edges between items, each by several measures, counted over the log before a window.

One pass makes the groups and their pairs (``commerce.groups``); all measures are sums over these. Written once in Ibis.
"""

from __future__ import annotations

from functools import reduce

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from commerce.columns import DAY
from commerce.edges import Edges
from commerce.groups import KINDS, group_items, pair_items
from commerce.swing import count_swing
from configs.schema import GraphConfig

MEASURES = ("swing", "lift", "cosine")
"""How strong an edge is: Swing; lift, how many times more groups hold both items than chance would put there; cosine of
the two items' groups, recent ones counting more."""


def count_graph(events: ir.Table, settings: GraphConfig) -> pa.Table:
    """Return the edges: item, other, kind, measure (places in ``KINDS`` and ``MEASURES``), weight, support.

    Each is there in both directions, as far as it is among the strongest of its item. Sorted by item, kind, measure and
    falling weight; ties by the other's code.

    Args:
        events: as ``counted_events`` gives them.
        settings: of the graph.
    """
    members = group_items(events, period_days=settings.period_days, most=settings.group_items).cache()
    newest = events.time.max()
    fading = settings.halflife_days * DAY

    def recent(time: ir.Value) -> ir.Value:
        return ibis.literal(0.5) ** ((newest.as_scalar() - time).cast("float64") / fading)

    pairs = pair_items(members).filter(lambda t: t.choice)
    by_user = pairs.mutate(recent=recent(pairs.time)).group_by(["kind", "one", "other", "user"])
    by_user = by_user.agg(groups=lambda t: t.count(), recent=lambda t: t.recent.sum())
    counted = by_user.group_by(["kind", "one", "other"]).agg(
        support=by_user.count(), groups=by_user.groups.sum(), recent=by_user.recent.sum()
    )
    counted = counted.filter(counted.support >= settings.min_support).cache()
    items = members.mutate(recent=recent(members.time)).group_by(["kind", "item"])
    items = items.agg(groups=lambda t: t.count(), recent=lambda t: t.recent.sum())
    totals = members.group_by("kind").agg(total=members.group.nunique())
    first = items.select(kind="kind", one="item", one_groups="groups", one_recent="recent")
    second = items.select(kind="kind", other="item", other_groups="groups", other_recent="recent")
    known = counted.join(first, ["kind", "one"]).join(second, ["kind", "other"]).join(totals, "kind")
    swing = count_swing(members, alpha=settings.swing_alpha, most=settings.swing_groups)
    weights = {
        "swing": counted.join(swing, ["kind", "one", "other"]),
        "lift": known.mutate(weight=known.groups * known.total / (known.one_groups * known.other_groups)),
        "cosine": known.mutate(weight=known.recent / (known.one_recent * known.other_recent).sqrt()),
    }
    strongest = [_strongest(weights[name], place, settings.neighbours) for place, name in enumerate(MEASURES)]
    edges = reduce(lambda one, other: one.union(other), strongest)
    table: pa.Table = edges.order_by("item", "kind", "measure", ibis.desc("weight"), "other").to_pyarrow()
    return table


def graph_edges(table: pa.Table, kind: str, measure: str, items: int) -> Edges:
    """Return the edges of one kind by one measure as arrays.

    Args:
        table: as ``count_graph`` gives it.
        kind: of ``KINDS``.
        measure: of ``MEASURES``.
        items: number of items.
    """
    chosen = pc.and_(pc.equal(table["kind"], KINDS.index(kind)), pc.equal(table["measure"], MEASURES.index(measure)))
    own = table.filter(chosen)
    counts = np.bincount(own["item"].to_numpy(), minlength=items)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Edges(offsets, own["other"].to_numpy().astype(np.int32), own["weight"].to_numpy())


def _strongest(pairs: ir.Table, measure: int, neighbours: int) -> ir.Table:
    """Return both directions of the pairs, as far as they are among the strongest of their item."""
    there = pairs.select("kind", "support", "weight", item="one", other="other")
    back = pairs.select("kind", "support", "weight", item="other", other="one")
    edges = there.union(back.select(there.columns))
    order = ibis.window(group_by=["item", "kind"], order_by=[ibis.desc("weight"), ibis.asc("other")])
    kept = edges.mutate(number=ibis.row_number().over(order)).filter(lambda t: t.number < neighbours)
    return kept.select(
        "item",
        "other",
        "kind",
        measure=ibis.literal(measure, "int8"),
        weight=kept.weight.cast("float32"),
        support=kept.support.cast("int32"),
    )
