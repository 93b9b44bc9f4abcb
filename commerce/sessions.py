"""Sessions: given by the shop, or parted by a pause."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from commerce.columns import MICROSECONDS


def with_sessions(events: ir.Table, gap_minutes: float) -> ir.Table:
    """Return ``events`` with every null ``session`` derived; given ones stay.

    Among a user's events without a session, one that comes more than ``gap_minutes`` after the one before it starts
    a new session. A session's code is the least ``row`` of its events, so codes never clash.

    Args:
        events: user, time (int64 microseconds), row (unique), session (int64 or null).
        gap_minutes: a pause of exactly this length does not part.
    """
    given = events.filter(events.session.notnull())
    missing = events.filter(events.session.isnull())
    in_order = ibis.window(group_by="user", order_by=["time", "row"])
    pause = missing.time - missing.time.lag().over(in_order)
    starts = missing.mutate(starts=(pause.isnull() | (pause > int(gap_minutes * 60 * MICROSECONDS))).cast("int64"))
    so_far = ibis.cumulative_window(group_by="user", order_by=["time", "row"])
    counted = starts.mutate(number=starts.starts.sum().over(so_far))
    derived = counted.mutate(session=counted.row.min().over(ibis.window(group_by=["user", "number"])))
    return given.union(derived.drop("starts", "number").select(given.columns))
