"""New items into a finished bundle, on a machine without torch: ``mercato add-items BUNDLE FILE``.

An item that came after the training is placed by its text, features and given vectors, as ``embed`` would place it
without events. All else that knows items by code grows along: index, fields, availability, counts, word index, tokens.
The new bundle is made in a folder beside, has to answer its golden requests, and takes the former's place in one step.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from commerce.columns import MICROSECONDS
from commerce.durable import replace_folder
from commerce.edges import Edges
from commerce.features import Features, Vocabulary, category_name, encode
from commerce.item_numbers import item_numbers
from commerce.sensitive import in_categories
from commerce.texts import item_text, leaf_category
from configs.errors import InputError
from ranking.after import Rules
from ranking.pairs import PairTokenizer
from retrieval.filters import ALWAYS_FROM, ALWAYS_UNTIL
from retrieval.index import ItemIndex
from retrieval.opening import ASSOCIATIONS, LEXICAL, NEWEST, POPULARITY, TASTES, by_date
from retrieval.sharded import FACTS as SHARDS
from retrieval.updates import upsert
from serving.contents import BIDS, ITEM_NUMBERS, RULES, SENSITIVE
from serving.golden import Shaken, record_again
from serving.item_fields import append_item_fields
from serving.item_rows import Row, moment, number, read_rows
from serving.item_tokens import ItemTokens
from serving.leaves import LEAF, grow_leaves
from serving.manifest import bundle_id, seal
from serving.models import OnnxModels
from serving.runtime import Runtime
from serving.strings import Strings
from serving.verify import Report, verify

LEXICAL_TEXTS = "lexical_texts"
"""Texts that the word index was made of, where they are not the item texts (search terms had joined them)."""
INDEX_QUERIES = "index_queries.npy"
"""Vectors of requests' users by which the recall of a changed index is measured; an exact one needs none."""
_AT_ONCE = 512


@dataclass(frozen=True)
class Added:
    """What came of it."""

    items: int
    former: str
    """Id of the bundle before."""
    report: Report
    """Of the new one."""


def add_items(bundle: str | Path, file: str | Path) -> Added:
    """Add the items of a CSV or JSON-lines file, with the columns of the shop's items table, to a bundle.

    Raises:
        BundleError: for a bundle that is damaged, or lacks what new items need.
        InputError: for rows that are no new items: ids given twice or already there, a price that is no number, a
            vector of another width. The bundle is then as it was.
    """
    bundle = Path(bundle)
    runtime = Runtime(bundle, check=False, beside=False)
    rows = _new_rows(runtime, Path(file))
    former = verify(bundle)
    temporary = bundle.with_name(f".{bundle.name}.adding")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        shutil.copytree(bundle, temporary)
        _extend(temporary, runtime, rows)
        facts = {name: value for name, value in runtime.manifest.items() if name not in ("format", "files", "golden")}
        note = {"items": len(rows), "to": former.bundle, "time": time.time_ns() // 1000 // MICROSECONDS}
        facts["added"] = [*facts.get("added", []), note]
        seal(temporary, {**facts, "golden": []})
        models = OnnxModels(temporary, runtime.manifest["models"], 1)
        grown, shaken = (
            Runtime(temporary, check=False, models=used, beside=False) for used in (models, Shaken(models))
        )
        seal(temporary, {**facts, "golden": record_again(grown, shaken, runtime.manifest["golden"])})
        report = verify(temporary)
        replace_folder(temporary, bundle)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Added(len(rows), former.bundle, Report(**{**vars(report), "folder": bundle, "bundle": bundle_id(bundle)}))


def _new_rows(runtime: Runtime, file: Path) -> list[Row]:
    """Return the rows of new items.

    Raises:
        InputError: for a bundle in shards, or ids that are not new.
    """
    if (runtime.folder / "index" / SHARDS).is_file():
        raise InputError(
            f"{runtime.folder} has an index in shards, which is not added to; run `mercato run CONFIG` again"
        )
    if "items" not in runtime.manifest["settings"]:
        raise InputError(
            f"{runtime.folder} was exported before items could be added; run `mercato export CONFIG` again"
        )
    rows = read_rows(file, runtime.manifest["settings"]["items"]["columns"])
    ids = [row["item_id"] for row in rows]
    again = sorted(item for item, times in Counter(ids).items() if times > 1)
    if again:
        raise InputError(f"{file}: {len(again)} ids come twice (first: {again[:3]}); nothing was added")
    known = [item for item in ids if runtime.contents.item_ids.code(item) >= 0]
    if known:
        raise InputError(
            f"{file}: {len(known)} of {len(ids)} items are in the bundle already (first: {known[:3]}); leave them out, "
            "an item's place is changed by `mercato run CONFIG`. Nothing was added"
        )
    return rows


def _extend(folder: Path, runtime: Runtime, rows: Sequence[Row]) -> None:
    """Write all files of ``folder``, a copy of the bundle, that know items."""
    settings, contents = runtime.manifest["settings"]["items"], runtime.contents
    texts = [item_text(row, settings["text"]) for row in rows]
    # All that may be wrong with a row is found before anything is written.
    since = np.array([moment(row, "available_from", ALWAYS_FROM) for row in rows], dtype=np.int64)
    until = np.array([moment(row, "available_until", ALWAYS_UNTIL) for row in rows], dtype=np.int64)
    prices = np.array([number(row, "price") for row in rows], dtype=np.float32)
    vectors = _vectors(folder, runtime, rows, texts)
    former = np.array(contents.item_vectors)
    np.save(folder / "item_vectors.npy", np.concatenate([former, vectors]))
    _grow_index(folder, len(former), vectors)
    _grow_strings(folder / "item_ids", contents.item_ids, [row["item_id"] for row in rows])
    _grow_strings(folder / "item_texts", contents.item_texts, texts)
    shown = [_fields(row, settings["category"], text) for row, text in zip(rows, texts, strict=True)]
    append_item_fields(folder, shown)
    before = contents.availability
    available = {"from": np.concatenate([before[0], since]), "until": np.concatenate([before[1], until])}
    np.savez(folder / "availability.npz", **available)  # type: ignore[arg-type]
    category = settings["category"]
    grow_leaves(folder, [leaf_category(row.get(category)) if category else "" for row in rows])
    prices = np.concatenate([np.load(folder / "prices.npy"), prices])
    np.save(folder / "prices.npy", prices)
    _grow_numbers(folder, prices, rows)
    if contents.sensitive_items is not None:
        hidden = [in_categories(row.get("category"), settings["sensitive_categories"]) for row in shown]
        np.save(folder / SENSITIVE, np.concatenate([contents.sensitive_items, np.array(hidden, dtype=bool)]))
    if contents.variants is not None:  # none is declared a variant of another
        first = int(contents.variants.max(initial=-1)) + 1
        groups = first + np.arange(len(rows), dtype=np.int32)
        np.save(folder / "variants.npy", np.concatenate([contents.variants, groups]).astype(np.int32))
    if contents.rules is not None:
        _grow_rules(folder, contents.rules, rows, settings)
    if (folder / BIDS).is_file():
        bids = np.array([number(row, "bid") for row in rows], dtype=np.float64)
        np.save(folder / BIDS, np.concatenate([np.load(folder / BIDS), bids]))
    _grow_statistics(folder, len(rows), texts, available["from"])
    if runtime.manifest["models"]["reranker"] is not None:
        _grow_tokens(folder, runtime.manifest["models"]["reranker"], texts)


def _grow_rules(folder: Path, rules: Rules, rows: Sequence[Row], settings: dict[str, Any]) -> None:
    leaves = [leaf_category(row.get(settings["category"] or "category")) for row in rows]
    groups = [category_name(row.get(settings.get("group", ""))) for row in rows]
    rules.grown(leaves, groups).save(folder / RULES)


def _vectors(folder: Path, runtime: Runtime, rows: Sequence[Row], texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the vectors of new items, ``[rows, dim]``."""
    models = OnnxModels(folder, runtime.manifest["models"], 0)
    vocabulary = _vocabulary(folder)
    parts = []
    for start in range(0, len(rows), _AT_ONCE):
        read = models.encode_items(texts[start : start + _AT_ONCE])
        if runtime.personalised:
            read = models.items(read, _features(vocabulary, rows[start : start + _AT_ONCE]))
        parts.append(read)
    return np.concatenate(parts)


def _vocabulary(folder: Path) -> Vocabulary:
    described = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
    return Vocabulary.from_json(described["items"])


def _features(vocabulary: Vocabulary, rows: Sequence[Row]) -> Features:
    names = {name for row in rows for name in row}
    columns = {name: [_given(row.get(name), name == vocabulary.vector) for row in rows] for name in names}
    return encode(vocabulary, columns, len(rows))


def _grow_numbers(folder: Path, prices: NDArray[np.float32], rows: Sequence[Row]) -> None:
    """Tell the reranker of new items in numbers; a category's mean price is that of all its items now."""
    file = folder / ITEM_NUMBERS
    if not file.is_file():
        return
    numeric = np.concatenate([np.load(file)[:, 1:], _features(_vocabulary(folder), rows).numeric])
    leaf = np.load(folder / LEAF) if (folder / LEAF).is_file() else np.full(len(prices), -1)
    np.save(file, item_numbers(prices, leaf, numeric))


def _given(value: Any, vector: bool) -> Any:
    """Return a cell as ``commerce.features`` reads it: a vector in a CSV file is a JSON list."""
    return json.loads(value) if vector and isinstance(value, str) else value


def _grow_index(folder: Path, first: int, vectors: NDArray[np.float32]) -> None:
    found = np.flatnonzero(vectors.any(axis=1))  # nothing is near a vector of zeros, an item without a text
    if not len(found):
        return
    queries = folder / INDEX_QUERIES
    asked = np.load(queries, allow_pickle=False) if queries.is_file() else None
    index = upsert(ItemIndex.load(folder / "index", gpus=0), first + found, vectors[found], asked, gpus=0)
    index.save(folder / "index")


def _grow_strings(folder: Path, old: Strings, new: Sequence[str]) -> None:
    strings = Strings.of([*(old[code] for code in range(len(old))), *new])
    shutil.rmtree(folder)
    strings.save(folder)


def _fields(row: Row, category: str, text: str) -> dict[str, Any]:
    """Return what the shop shows of an item."""
    shown: dict[str, Any] = {name: row.get(name) for name in ("title", "brand", "price") if name in row}
    if category or "category" in row:
        shown["category"] = row.get(category or "category")
    if shown.get("price") is not None:
        shown["price"] = number(row, "price")
    return {"item_id": row["item_id"], **shown, "title": shown.get("title") or text}


def _grow_statistics(folder: Path, count: int, texts: Sequence[str], since: NDArray[np.int64]) -> None:
    statistics = folder / "statistics"
    if (statistics / POPULARITY).is_file():  # nobody chose them yet
        counts = np.load(statistics / POPULARITY, allow_pickle=False)
        np.save(statistics / POPULARITY, np.append(counts, np.zeros(count, counts.dtype)))
    for name in (ASSOCIATIONS, TASTES):
        if (statistics / name).is_file():
            edges = Edges.load(statistics / name)
            Edges(np.append(edges.offsets, np.full(count, edges.offsets[-1])), edges.other, edges.weight).save(
                statistics / name
            )
    if (statistics / NEWEST).is_file():
        np.save(statistics / NEWEST, by_date(since))
    if (statistics / LEXICAL).exists():
        from retrieval.lexical import LexicalSource  # comes with the extra `lexical`

        own = folder / LEXICAL_TEXTS
        if own.is_dir():
            _grow_strings(own, Strings.open(own), texts)
        words = Strings.open(own if own.is_dir() else folder / "item_texts")
        shutil.rmtree(statistics / LEXICAL)
        LexicalSource.build([words[code] for code in range(len(words))]).save(statistics / LEXICAL)


def _grow_tokens(folder: Path, facts: dict[str, Any], texts: Sequence[str]) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "reranker_tokenizer.json"))
    new = PairTokenizer(tokenizer, facts["context_tokens"], facts["item_tokens"]).items(texts)
    old = ItemTokens.open(folder / "item_tokens")
    ids = np.concatenate([old.ids, new.ids.astype(np.int32)])
    offsets = np.concatenate([old.offsets, old.offsets[-1] + new.offsets[1:]])
    shutil.rmtree(folder / "item_tokens")
    ItemTokens(ids, offsets).save(folder / "item_tokens")
