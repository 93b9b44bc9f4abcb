"""Product texts: which columns make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from commerce.plain_text import narrow


def item_text(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """Join the columns of ``row`` that hold something, in order.

    An entry ``a|b`` takes b where a is empty. White space is collapsed, full-width letters become plain ones.
    """
    parts = (next(filter(None, (_clean(row.get(name)) for name in entry.split("|"))), "") for entry in columns)
    return " ".join(part for part in parts if part)


def text_columns(columns: Sequence[str]) -> list[str]:
    """Return the columns that the entries name."""
    return [name for entry in columns for name in entry.split("|")]


def leaf_category(path: Any) -> str:
    """Return the last level of a category path (``Food > Tea > Green``), empty without one."""
    return _clean(path).rpartition(" > ")[2]


def _clean(value: Any) -> str:
    # NaN, as pandas writes an absent text, is the only value that differs from itself.
    return "" if value is None or value != value else " ".join(narrow(str(value)).split())
