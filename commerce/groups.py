"""Who had which items together: groups of items, and the pairs within each, bounded whatever the log.

Two kinds of group, each of one user. Complements: what a user bought within one period of some days, so together or
soon after one another. Substitutes: what was viewed within one session; a pair of which both were bought there is no
choice between the two. A group keeps its latest items only, so an event makes a bounded number of pairs.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from commerce.columns import ACTION_CODES, DAY

KINDS = ("complement", "substitute")
"""Kinds by code: ``KINDS[kind]``."""
_COMPLEMENT, _SUBSTITUTE = range(2)
_PURCHASE, _VIEW = ACTION_CODES["purchase"], ACTION_CODES["view"]


def group_items(events: ir.Table, *, period_days: float, most: int) -> ir.Table:
    """Return who had what together: kind, group, size (of the group), user, item, time (last met), bought.

    Args:
        events: as ``counted_events`` gives them.
        period_days: length of the periods that a user's purchases are parted into, counted from 1970.
        most: items kept of a group, the latest; ties by item code.
    """
    purchases = events.filter(events.action == _PURCHASE)
    period = (purchases.time // round(period_days * DAY)).cast("int64")
    bought = purchases.mutate(part=period).group_by(["user", "part", "item"]).agg(time=lambda t: t.time.max())
    bought = bought.mutate(kind=ibis.literal(_COMPLEMENT, "int8"), bought=ibis.literal(True))
    met = events.filter(events.action.isin([_VIEW, _PURCHASE])).mutate(part=events.session)
    viewed = met.group_by(["user", "part", "item"]).agg(
        time=met.time.max(where=met.action == _VIEW), bought=(met.action == _PURCHASE).any()
    )
    viewed = viewed.filter(viewed.time.notnull()).mutate(kind=ibis.literal(_SUBSTITUTE, "int8"))
    whole = bought.union(viewed.select(bought.columns))
    latest = ibis.window(group_by=["kind", "user", "part"], order_by=[ibis.desc("time"), ibis.asc("item")])
    kept = whole.mutate(number=ibis.row_number().over(latest)).filter(lambda t: t.number < most).drop("number")
    groups = kept.group_by(["kind", "user", "part"]).agg(size=kept.count())
    numbered = groups.mutate(group=ibis.row_number().over(ibis.window(order_by=["kind", "user", "part"])))
    joined = kept.join(numbered, ["kind", "user", "part"])
    return joined.select("kind", "group", "size", "user", "item", "time", "bought")


def pair_items(members: ir.Table) -> ir.Table:
    """Return the pairs of each group: kind, group, size, user, one, other (codes, one < other), time, choice.

    ``time`` is the middle of the times at which the two were met; ``choice`` is false where both were bought in a
    session of viewing.

    Args:
        members: as ``group_items`` gives them, or some of them.
    """
    second = members.select(group_="group", other="item", time_="time", bought_="bought")
    pairs = members.join(second, [members.group == second.group_, members.item < second.other])
    return pairs.select(
        "kind",
        "group",
        "size",
        "user",
        "other",
        one="item",
        time=((pairs.time + pairs.time_) // 2).cast("int64"),
        choice=(pairs.kind == _COMPLEMENT) | ~(pairs.bought & pairs.bought_),
    )
