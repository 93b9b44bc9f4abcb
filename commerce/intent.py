"""Intent labels, by rule, from what the rest of a session shows; written once in Ibis.

Of the events of a moment's session that are strictly later than it and lie in its window:

- ``buy``: one is an action of ``IntentRules.buys`` (a cart or a purchase);
- ``compare``: else, some leaf category is met in several different items, or an item is come back to after another
  one, or two items are met that are declared substitutes;
- ``browse``: else, there is any;
- no label where there is none, so a session's last position has none.

Or, where the shop labels its own events (``data.event_intent``), the label of the next labelled one. The rest is cut at
the window's end, so that no label knows of a later window.

Each rule holds up to a certain time of a session and not after it, so a session in a window comes down to three times
(``session_marks``), and a moment is labelled by comparing its own with them: the work grows with the log, not with the
square of a session's length.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import reduce

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
from ibis.backends import BaseBackend
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, INTENTS, NO_INTENT, NO_ITEM
from commerce.histories import Histories

_BROWSE, _COMPARE, _BUY = (INTENTS.index(name) for name in ("browse", "compare", "buy"))
_BLOCK = ["session", "window"]
_CODES = 8
"""A time and an intent code are one number, time x 8 + code, so that the least of them tells the next label."""


@dataclass(frozen=True)
class IntentRules:
    """What makes a session's rest a purchase or a comparison."""

    buys: tuple[str, ...] = ("cart", "purchase")
    """Actions that make it ``buy``."""
    items: int = 2
    """Different items of one leaf category that make it ``compare``."""
    returns: int = 1
    """Returns to an item, after another one, that make it ``compare``."""

    def words(self, substitutes: int) -> list[str]:
        """Return the rules as a person reads them; ``substitutes`` pairs are declared."""
        return [
            f"buy: a {' or a '.join(self.buys)} follows in the session",
            f"compare: else, {self.items} or more items of one leaf category, {self.returns} or more returns to an item"
            + (f", or two of {substitutes:,} pairs of declared substitutes" if substitutes else ""),
            "browse: else, anything; nothing follows: no label",
        ]


def label_moments(moments: ir.Table, marks: ir.Table) -> ir.Table:
    """Label moments by the rules.

    Args:
        moments: moment (a number of its own), session, window, time.
        marks: of ``session_marks``.

    Returns: moment, intent (int8, ``NO_INTENT`` without).
    """
    found = moments.left_join(marks, _BLOCK)
    intent = ibis.cases(
        (found.time < found.bought, _BUY),
        (found.time < found.compared, _COMPARE),
        (found.time < found.last, _BROWSE),
        else_=NO_INTENT,
    )
    return found.select(moment="moment", intent=intent.cast("int8"))


def session_marks(events: ir.Table, leaves: ir.Table, substitutes: ir.Table | None, rules: IntentRules) -> ir.Table:
    """Return the times up to which the rest of each session, in each window, shows what the rules ask for.

    Args:
        events: place (their order), session, window, time, item, action (code).
        leaves: item, leaf: of the items that have a leaf category.
        substitutes: item, other: pairs that are declared substitutes, in either order; None without.
        rules: the thresholds.

    Returns: session, window, and ``bought``, ``compared`` and ``last``: before that time, and only before, a purchase
        (a comparison, anything) is still to come; null where it never is.
    """
    buys = events.action.isin([ACTION_CODES[action] for action in rules.buys])
    marks = events.group_by(_BLOCK).agg(last=events.time.max(), bought=events.time.max(where=buys))
    items = events.filter(events.item != NO_ITEM)
    lasts = items.group_by([*_BLOCK, "item"]).agg(until=items.time.max())
    compared = [_several(lasts, leaves, rules.items), _returned(items, rules.returns)]
    if substitutes is not None:
        compared.append(_substituted(lasts, substitutes))
    every = reduce(lambda one, other: one.union(other), compared)
    latest = every.group_by(_BLOCK).agg(compared=every.until.max())
    return marks.left_join(latest, _BLOCK).select(*_BLOCK, "bought", "compared", "last")


def next_labels(events: ir.Table, moments: ir.Table) -> ir.Table:
    """Label moments by the shop's own labels: that of the next event of the session and window that has one.

    Args:
        events: session, window, time, intent (code, null without); of several labels at one time the least counts.
        moments: as ``label_moments``.

    Returns: as ``label_moments``.
    """
    labelled = events.filter(events.intent.notnull())
    coded = labelled.select(
        *_BLOCK, "time", moment=ibis.null("int64"), coded=labelled.time * _CODES + labelled.intent.cast("int64")
    )
    asked = moments.select(*_BLOCK, "time", moment=moments.moment.cast("int64"), coded=ibis.null("int64"))
    both = asked.union(coded)
    # Backwards in time, and moments before labels of the same time: what lies behind is strictly later.
    later = ibis.cumulative_window(
        group_by=_BLOCK, order_by=[ibis.desc("time"), ibis.asc(both.moment.isnull()), ibis.desc("moment")]
    )
    told = both.mutate(next=both.coded.min().over(later)).filter(lambda t: t.moment.notnull())
    intent = (told.next % _CODES).coalesce(NO_INTENT)
    return told.select(moment="moment", intent=intent.cast("int8"))


def history_events(histories: Histories, window: NDArray[np.int8], intent: NDArray[np.int8] | None = None) -> ir.Table:
    """Return histories as the table that labels are made of; ``intent`` ([events]) is the shop's own, -1 without."""
    columns = {
        "place": np.arange(len(window)),
        "session": histories.session,
        "window": window,
        "time": histories.time,
        "item": histories.item,
        "action": histories.action,
    }
    arrays = {name: pa.array(column) for name, column in columns.items()}
    if intent is not None:
        arrays["intent"] = pa.array(intent, mask=intent == NO_INTENT)
    return ibis.memtable(pa.table(arrays))


def moment_table(session: NDArray[np.int64], window: NDArray[np.int8], time: NDArray[np.int64]) -> ir.Table:
    """Return moments, ``[moments]`` each, as a table; ``moment`` counts them from 0."""
    return ibis.memtable(pa.table({"moment": np.arange(len(time)), "session": session, "window": window, "time": time}))


def leaf_table(leaf_of_item: NDArray[np.int32]) -> ir.Table:
    """Return (item, leaf) of the items that have a leaf category; ``leaf_of_item`` is ``[items]``, -1 without one."""
    items = np.flatnonzero(leaf_of_item >= 0).astype(np.int32)
    return ibis.memtable(pa.table({"item": items, "leaf": leaf_of_item[items]}))


def fetch_labels(warehouse: BaseBackend, labels: ir.Table) -> NDArray[np.int8]:
    """Compute labels and return them in the order of their moments, int8 ``[moments]``."""
    column = warehouse.to_pyarrow(labels.order_by("moment"))["intent"]
    return column.to_numpy().astype(np.int8)  # type: ignore[no-any-return]


def own_intents(warehouse: BaseBackend, events: ir.Table, actions: Collection[str]) -> NDArray[np.int8]:
    """Return the shop's own label of each history position, int8 ``[events]``, ``NO_INTENT`` without.

    Args:
        warehouse: where the events lie.
        events: user, time, row, action (code), intent (code, null without).
        actions: those that enter histories.
    """
    kept = events.filter(events.action.isin([ACTION_CODES[action] for action in actions]))
    intent = kept.intent.coalesce(NO_INTENT).cast("int8")
    column = warehouse.to_pyarrow(kept.order_by("user", "time", "row").select(intent=intent))["intent"]
    return column.to_numpy()  # type: ignore[no-any-return]


def _several(lasts: ir.Table, leaves: ir.Table, count: int) -> ir.Table:
    """Return until when ``count`` items of one leaf category are still to come: session, window, until.

    An item is still to come before its last event. So the items of a leaf fall away one by one, and ``count`` are left
    until the ``count``-th last of them does.
    """
    known = lasts.join(leaves, "item")
    backwards = ibis.window(group_by=[*_BLOCK, "leaf"], order_by=[ibis.desc("until"), "item"])
    return _nth(known.mutate(number=ibis.row_number().over(backwards)), count)


def _returned(items: ir.Table, count: int) -> ir.Table:
    """Return until when ``count`` returns to an item, after another one, are still to come: session, window, until."""
    in_order = ibis.window(group_by=_BLOCK, order_by=["time", "place"])
    again = ibis.row_number().over(ibis.window(group_by=[*_BLOCK, "item"], order_by=["time", "place"])) > 0
    met = items.mutate(before=items.item.lag().over(in_order), again=again)
    back = met.filter(met.again & (met.before != met.item)).select(*_BLOCK, "place", until="time")
    backwards = ibis.window(group_by=_BLOCK, order_by=[ibis.desc("until"), "place"])
    return _nth(back.mutate(number=ibis.row_number().over(backwards)), count)


def _substituted(lasts: ir.Table, substitutes: ir.Table) -> ir.Table:
    """Return until when both items of a pair of substitutes are still to come: session, window, until."""
    others = lasts.select(*_BLOCK, other="item", other_until="until")
    pairs = lasts.join(substitutes, "item").join(others, [*_BLOCK, "other"])
    return pairs.select(*_BLOCK, until=ibis.least(pairs.until, pairs.other_until))


def _nth(numbered: ir.Table, count: int) -> ir.Table:
    return numbered.filter(numbered.number == count - 1).select(*_BLOCK, "until")
