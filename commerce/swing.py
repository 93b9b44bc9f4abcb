"""Swing: two items belong together where people who share little else met both.

s(i, j) sums, over pairs of groups u, v that hold both, w_u w_v / (alpha + |I_u and I_v|) with w_u = 1 / |I_u|^.5 (Yang,
Zhou, Sun et al. 2020, "Large Scale Product Graph Construction for Recommendation in E-commerce"). The two groups are of
two users here: one user's habits alone prove nothing.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from commerce.groups import pair_items


def count_swing(members: ir.Table, *, alpha: float, most: int) -> ir.Table:
    """Return kind, one, other (one < other) and weight of all pairs that two users met.

    Args:
        members: as ``commerce.groups.group_items`` gives them.
        alpha: smoothing; the larger, the less a small overlap counts for more than a large one.
        most: groups of an item that are looked at, the latest. So an item makes at most ``most`` x the size of a group
            pairs, and a pair of items at most ``most`` squared pairs of groups.
    """
    latest = ibis.window(group_by=["kind", "item"], order_by=[ibis.desc("time"), ibis.asc("group")])
    sample = members.mutate(number=ibis.row_number().over(latest)).filter(lambda t: t.number < most).drop("number")
    pairs = pair_items(sample).mutate(weight=lambda t: 1.0 / t.size.sqrt()).cache()
    second = pairs.select(kind_="kind", one_="one", other_="other", user_="user", v="group", w="weight", free="choice")
    same = [pairs.kind == second.kind_, pairs.one == second.one_, pairs.other == second.other_]
    both = pairs.join(second, [*same, pairs.group < second.v, pairs.user != second.user_])
    both = both.select(
        "kind", "one", "other", "v", u="group", product=both.weight * both.w, free=both.choice & both.free
    )
    # Groups that share n items share n (n - 1) / 2 pairs of them.
    shared = both.group_by(["u", "v"]).agg(pairs=both.count())
    shared = shared.select(first="u", second="v", overlap=(1.0 + (1.0 + 8.0 * shared.pairs).sqrt()) / 2.0)
    free = both.filter(both.free)
    known = free.join(shared, [free.u == shared.first, free.v == shared.second])
    return known.group_by(["kind", "one", "other"]).agg(weight=(known.product / (alpha + known.overlap)).sum())
