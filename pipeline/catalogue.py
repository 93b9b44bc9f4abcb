"""The catalogue and the users as files: features, texts, availability, and fields for people to read."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.features import Columns, Features, Vocabulary, encode, fit, unreadable_numbers
from commerce.sensitive import category_levels, in_categories
from commerce.texts import item_text, leaf_category
from configs.errors import InputError
from configs.schema import DataConfig
from serving.contents import SENSITIVE
from serving.leaves import NAMES

_FOR_PEOPLE = ("title", "brand", "category", "price")
_OPEN = (np.iinfo(np.int64).min, np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Catalogue:
    """What the rest of ``prepare`` needs of the items and users."""

    user_ids: list[str]
    item_ids: list[str]
    texts: list[str]
    """Product text by item code."""
    leaf: NDArray[np.int32]
    """``[items]``: code of the leaf category, -1 without one."""
    available_from: NDArray[np.int64]
    """``[items]``, microseconds; the least int64 where open."""
    available_until: NDArray[np.int64]
    """``[items]``, microseconds, itself excluded; the greatest int64 where open."""
    prices: NDArray[np.float32]
    """``[items]``, of the items table; NaN where unknown."""
    lines: list[str]
    """What a person should know."""

    @property
    def availability(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First microsecond and end of each item's time in the shop."""
        return self.available_from, self.available_until


def write_catalogue(ingested: Path, data: DataConfig, out: Path) -> Catalogue:
    """Write features, vocabulary, availability and fields of the ingested items and users."""
    items, users = read_columns(ingested / "items.parquet"), read_columns(ingested / "users.parquet")
    texts = [item_text(row, data.item_text) for row in _rows(items)]
    leaves = [leaf_category(path) for path in items[data.item_category]] if data.item_category else [""] * len(texts)
    available_from, available_until = (
        np.array([bound if value is None else value for value in items[name]], dtype=np.int64)
        for name, bound in zip(("available_from", "available_until"), _OPEN, strict=True)
    )
    bounds = {"from": available_from, "until": available_until}
    np.savez(out / "availability.npz", **bounds)  # type: ignore[arg-type]

    of_items = fit(items, data.item_categorical, data.item_numeric, data.item_vector)
    of_users = fit(
        users,
        data.modelled_categories,
        [name for name in data.user_numeric if name not in data.sensitive],
    )
    _save_features(encode(of_items, items, len(texts)), out / "items_features")
    _save_features(encode(of_users, users, len(users["user_id"])), out / "users_features")
    leaf = name_codes(leaves)
    np.save(out / "items_features" / "leaf.npy", leaf)
    (out / NAMES).write_text(json.dumps(sorted({name for name in leaves if name}), ensure_ascii=False))
    vocabularies = {"items": of_items.to_json(), "users": of_users.to_json()}
    (out / "vocabulary.json").write_text(json.dumps(vocabularies, ensure_ascii=False))
    _write_fields(items, data, out / "item_fields.jsonl")
    hidden = _write_sensitive(items, data, out)
    return Catalogue(
        user_ids=list(users["user_id"]),
        item_ids=list(items["item_id"]),
        texts=texts,
        leaf=leaf,
        available_from=available_from,
        available_until=available_until,
        prices=np.array([np.nan if price is None else price for price in items["price"]], dtype=np.float32),
        lines=[*_remarks(items, users, texts, of_items, of_users), *hidden],
    )


def read_columns(path: Path) -> dict[str, list[Any]]:
    """Read a Parquet file as plain lists by column."""
    return {name: column.to_pylist() for name, column in zip(*_named(pq.read_table(path)), strict=True)}


def name_codes(names: list[str]) -> NDArray[np.int32]:
    """Return a code per name (a leaf category, a group), in alphabetical order; -1 for the empty one."""
    codes = {name: code for code, name in enumerate(sorted({name for name in names if name}))}
    return np.array([codes.get(name, -1) for name in names], dtype=np.int32)


def _named(table: pa.Table) -> tuple[list[str], list[Any]]:
    return table.column_names, table.columns


def _rows(columns: Columns) -> Iterator[dict[str, Any]]:
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _save_features(features: Features, folder: Path) -> None:
    folder.mkdir()
    for name in ("categorical", "numeric", "numeric_mask", "vectors", "vectors_mask"):
        np.save(folder / f"{name}.npy", getattr(features, name))


def _write_fields(items: Columns, data: DataConfig, path: Path) -> None:
    names = {name: name for name in _FOR_PEOPLE if name in items}
    if data.item_category:
        names["category"] = data.item_category
    with path.open("w", encoding="utf-8") as file:
        for row in _rows(items):
            fields = {"item_id": row["item_id"]} | {ours: row[column] for ours, column in names.items()}
            if not fields.get("title"):
                fields["title"] = item_text(row, data.item_text)
            file.write(json.dumps(fields, ensure_ascii=False) + "\n")


def _write_sensitive(items: Columns, data: DataConfig, out: Path) -> list[str]:
    """Write which items are of a sensitive category, where some are declared, and say how many.

    Raises:
        InputError: for a category that no item is in: a slip there would tell what was to be hidden.
    """
    if not data.sensitive_categories:
        return []
    paths = items[data.item_category]
    distinct = {path: category_levels(path) for path in set(paths) if path}
    for name in data.sensitive_categories:
        if not any(in_categories(path, [name]) for path in distinct):
            levels = sorted({level for own in distinct.values() for level in own})
            near = difflib.get_close_matches(name.casefold(), levels, n=1)
            hint = f"did you mean {near[0]}?" if near else f"levels are {', '.join(levels[:10])}"
            raise InputError(f"data.sensitive_categories names {name!r}, but no item is in it; {hint}")
    hidden = {path: in_categories(path, data.sensitive_categories) for path in distinct}
    mask = np.array([hidden.get(path, False) for path in paths], dtype=bool)
    np.save(out / SENSITIVE, mask)
    return [f"{mask.sum():,} of {len(mask):,} items are of sensitive categories and are not told of"]


def sensitive_items(prepared: Path) -> NDArray[np.bool_] | None:
    """Return which items are of a sensitive category, ``[items]``; None where none is declared."""
    path = prepared / SENSITIVE
    if not path.is_file():
        return None
    mask: NDArray[np.bool_] = np.load(path)
    return mask


def _remarks(items: Columns, users: Columns, texts: list[str], of_items: Vocabulary, of_users: Vocabulary) -> list[str]:
    remarks = []
    empty = sum(not text for text in texts)
    if empty:
        remarks.append(f"{empty:,} of {len(texts):,} items have no text (data.item_text)")
    for table, columns, vocabulary in (("items", items, of_items), ("users", users, of_users)):
        for name in vocabulary.numeric:
            wrong = unreadable_numbers(columns[name])
            if wrong:
                remarks.append(f"{table}.{name}: {wrong:,} values are no finite number and count as missing")
    return remarks
