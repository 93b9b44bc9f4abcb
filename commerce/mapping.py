"""From the shop's own columns and words to ours."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from configs.errors import InputError

_LIKENESS = 0.8
"""Likeness of two names from which one is taken for a slip of the other."""


RESERVED = ("user", "item", "session", "row", "reason", "code")
"""Names that the tables inside use for codes; a shop's own column of that name, unless mapped, is left out."""


def rename_columns(
    table: ir.Table, names: Mapping[str, str], ours: Collection[str], name: str, setting: str = ""
) -> ir.Table:
    """Rename the shop's columns to ours.

    Args:
        table: as read.
        names: our column name -> the shop's.
        ours: all our columns of this table; a column of the shop that differs only in case is taken for one.
        name: of the table (``event`` for ``data.event_columns``), for messages.
        setting: that holds ``names``; empty: ``data.NAME_columns``.

    Raises:
        InputError: if a column is not there, or two would have one name.
    """
    for column, theirs in names.items():
        if theirs not in table.columns:
            raise InputError(
                f"{setting or f'data.{name}_columns'}.{column}={theirs}: the {name}s table has no column {theirs}; "
                f"{nearest(theirs, _shown(table))}"
            )
    by_case = {theirs.lower(): theirs for theirs in table.columns if theirs not in names.values()}
    chosen = {column: by_case[column.lower()] for column in ours if column.lower() in by_case} | dict(names)
    left_out = {column.lower() for column in (*chosen, *chosen.values(), *RESERVED)}
    others = [column for column in table.columns if column.lower() not in left_out]
    return table.select("row", *others, **{column: table[theirs] for column, theirs in chosen.items()})


def require_columns(table: ir.Table, needed: Collection[str], name: str, setting: str) -> None:
    """Refuse a table without a needed column, naming the nearest one that it has.

    Args:
        table: under our names.
        needed: columns that must be there.
        name: of the table, for the message.
        setting: where to say which column it is.

    Raises:
        InputError: if one is missing.
    """
    for column in needed:
        if column not in table.columns:
            near = difflib.get_close_matches(column, _shown(table), n=1, cutoff=0.5)
            remedy = f"did you mean {near[0]}? " if near else ""
            raise InputError(
                f"the {name} table has no column {column}; {remedy}it has {', '.join(_shown(table))}; "
                f"say which one it is with {setting}"
            )


def overlooked_columns(table: ir.Table, optional: Collection[str], setting: str) -> list[str]:
    """Return a remark for each column that looks like a slip of an optional one that is absent."""
    remarks = []
    for column in optional:
        others = [name for name in _shown(table) if name not in optional]
        if column not in table.columns and (near := difflib.get_close_matches(column, others, 1, _LIKENESS)):
            remarks.append(
                f"column {near[0]} is not read as {column}; if it is meant, set {setting}.{column}={near[0]}"
            )
    return remarks


def as_id(column: ir.Value) -> ir.StringValue:
    """Return ids as text; a whole number kept as a float, as pandas does beside a missing one, loses its ``.0``."""
    if isinstance(column.type(), dt.Floating):
        whole = column == column.cast("int64")
        return ibis.ifelse(whole, column.cast("int64").cast("string"), column.cast("string"))
    return column.cast("string")


def map_words(
    column: ir.Value, words: Mapping[str, str], known: Sequence[str], setting: str, kind: str
) -> ir.StringValue:
    """Return a column in our words; a word that is not mapped stays as it is, an empty one is null.

    Args:
        column: as the shop writes it.
        words: the shop's word -> ours.
        known: our words.
        setting: where ``words`` come from (``data.actions``), for messages.
        kind: what the words are (``an action``), for messages.

    Raises:
        InputError: if a word is mapped to one that is not ours.
    """
    for theirs, ours in words.items():
        if ours not in known:
            raise InputError(f"{setting}.{theirs}={ours}: {ours} is not {kind}; {nearest(ours, known)}")
    text = column.cast("string").strip().nullif("")
    if not words:
        return text
    return ibis.cases(*((text == theirs, ours) for theirs, ours in words.items()), else_=text)


def nearest(name: str, known: Sequence[str]) -> str:
    """Return a hint: the nearest of ``known`` to ``name``, or all of them."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"


def _shown(table: ir.Table) -> list[str]:
    return [column for column in table.columns if column != "row"]
