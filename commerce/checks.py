"""Checks of the tables as read: what stops a run at once, and which rows go to quarantine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from commerce.columns import ACTIONS, INTENTS, RELATIONS
from commerce.mapping import map_words, require_columns
from commerce.warehouse import count_rows, keep
from configs.errors import InputError


@dataclass(frozen=True)
class Checked:
    """A table parted into rows to use and rows put aside."""

    name: str
    good: ir.Table
    bad: ir.Table
    """table, row, reason."""


def check_events(warehouse: Backend, events: ir.Table, items: ir.Table) -> Checked:
    """Part events; ``items`` are the good ones.

    Raises:
        InputError: for an empty table or an action that is not one of ours.
    """
    refuse_empty("events", events)
    _refuse_unknown_words("events", "action", events, ACTIONS, "map the shop's own words with data.actions")
    known = items.select(known_id=items.item_id).distinct()
    joined = events.left_join(known, events.item_id == known.known_id)
    is_search = joined.action == "search"
    marked = joined.mutate(
        reason=ibis.cases(
            (absent(joined.user_id), "no user_id"),
            (joined.action.isnull(), "no action"),
            (joined.time.isnull(), "unparsable timestamp"),
            (is_search & absent(joined["query"]), "search without a query"),
            (~is_search & absent(joined.item_id), "no item_id"),
            (~is_search & joined.known_id.isnull(), "item not in items"),
        )
    ).drop("known_id")
    return part(warehouse, "events", marked)


def coded_intents(events: ir.Table, column: str, words: Mapping[str, str]) -> ir.Table:
    """Return events with the shop's own intent labels as column ``intent``: our codes, null where there is none.

    Args:
        events: as read.
        column: where the labels stand (``data.event_intent``).
        words: the shop's word -> ours.

    Raises:
        InputError: for a column that is not there, or a label that is neither ours nor mapped.
    """
    require_columns(events, (column,), "events", "data.event_intent")
    labelled = events.mutate(intent=map_words(events[column], words, INTENTS, "data.intents", "an intent"))
    _refuse_unknown_words("events", "intent", labelled, INTENTS, "map the shop's own words with data.intents")
    codes = ibis.cases(*((labelled.intent == word, code) for code, word in enumerate(INTENTS)))
    return labelled.mutate(intent=codes.cast("int8"))


def check_items(warehouse: Backend, items: ir.Table) -> Checked:
    """Part items: the first row of each ``item_id`` counts.

    Raises:
        InputError: for an empty table.
    """
    refuse_empty("items", items)
    marked = items.mutate(
        reason=ibis.cases(
            (absent(items.item_id), "no item_id"),
            (_repeats(items, "item_id"), "item_id again"),
            (items.available_until <= items.available_from, "available_until not after available_from"),
        )
    )
    return part(warehouse, "items", marked)


def check_users(warehouse: Backend, users: ir.Table) -> Checked:
    """Part users: the first row of each ``user_id`` counts."""
    marked = users.mutate(
        reason=ibis.cases((absent(users.user_id), "no user_id"), (_repeats(users, "user_id"), "user_id again"))
    )
    return part(warehouse, "users", marked)


def check_relations(warehouse: Backend, relations: ir.Table, items: ir.Table) -> Checked:
    """Part declared relations between good ``items``.

    Raises:
        InputError: for a relation that is not one of ours.
    """
    _refuse_unknown_words("relations", "relation", relations, RELATIONS, "rename it in the table")
    known = items.select(known_id=items.item_id).distinct()
    other = known.view()
    joined = relations.left_join(known, relations.item_id == known.known_id).rename(known_item="known_id")
    joined = joined.left_join(other, joined.other_id == other.known_id).rename(known_other="known_id")
    marked = joined.mutate(
        reason=ibis.cases(
            (joined.relation.isnull(), "no relation"),
            (joined.known_item.isnull() | joined.known_other.isnull(), "item not in items"),
            (joined.item_id == joined.other_id, "item related to itself"),
        )
    ).drop("known_item", "known_other")
    return part(warehouse, "relations", marked)


def refuse_over_share(checked: Checked, share: float, written: str) -> str:
    """Say what was put aside; an empty sentence where nothing was.

    Args:
        checked: a parted table.
        share: most bad rows, as a share of the table.
        written: where the quarantine file lies, for the message.

    Raises:
        InputError: if more than ``share`` of the rows are bad.
    """
    counts = checked.bad.group_by("reason").agg(rows=lambda t: t.count(), first=lambda t: t.row.min())
    reasons = counts.order_by([ibis.desc("rows"), "reason"]).to_pyarrow().to_pylist()
    bad = sum(int(reason["rows"]) for reason in reasons)
    if not bad:
        return ""
    total = bad + count_rows(checked.good)
    details = ", ".join(f"{reason['rows']:,} {reason['reason']} (first: row {reason['first']})" for reason in reasons)
    sentence = f"{checked.name}: {bad:,} of {total:,} rows put aside: {details}"
    if bad > share * total:
        raise InputError(
            f"{sentence}; that is {bad / total:.1%}, and at most {share:.1%} is allowed "
            f"(data.max_quarantine_share); the rows are listed in {written}"
        )
    return sentence


def absent(column: ir.Value) -> ir.BooleanValue:
    """Return where a text is null or blank."""
    return column.isnull() | (column.strip() == "")


def _repeats(table: ir.Table, key: str) -> ir.BooleanValue:
    return ibis.row_number().over(ibis.window(group_by=key, order_by="row")) > 0


def part(warehouse: Backend, name: str, marked: ir.Table) -> Checked:
    """Part a table by its column ``reason``: null is good."""
    marked = keep(warehouse, f"checked_{name}", marked)
    bad = marked.filter(marked.reason.notnull()).select(table=ibis.literal(name), row="row", reason="reason")
    return Checked(name, good=marked.filter(marked.reason.isnull()).drop("reason"), bad=bad)


def refuse_empty(name: str, table: ir.Table, setting: str = "") -> None:
    """Refuse a table without rows; ``setting`` names it, ``data.NAME`` where left empty."""
    if not count_rows(table):
        raise InputError(f"the {name} table is empty; at least one row was expected, see {setting or f'data.{name}'}")


def _refuse_unknown_words(name: str, column: str, table: ir.Table, known: Sequence[str], remedy: str) -> None:
    unknown = table.filter(table[column].notnull() & ~table[column].isin(list(known)))
    found = unknown.group_by(column).agg(rows=unknown.count(), first=unknown.row.min()).order_by(ibis.desc("rows"))
    rows = found.limit(5).to_pyarrow().to_pylist()
    if rows:
        listed = ", ".join(f"{row[column]!r} ({row['rows']:,} rows, first: row {row['first']})" for row in rows)
        raise InputError(f"{name}: unknown {column} {listed}; ours are {', '.join(known)}; {remedy}")
