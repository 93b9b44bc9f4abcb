"""Product texts as files: what the shop wrote, what models read, and the search terms that join it for each window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend
from numpy.typing import NDArray

from commerce.associations import counted_events
from commerce.histories import Histories
from commerce.search_terms import count_terms
from commerce.sensitive import told_queries
from commerce.splits import WINDOWS
from configs.schema import TextConfig

TEXTS, TERMS = "item_texts.parquet", "item_terms.parquet"
"""Texts by item code: ``description``, as the shop wrote it, and ``text``, as models read it. Terms by window, item."""
QUERY_USERS = "query_users.npy"
"""How many different users typed each query, int32 ``[queries]``."""


def count_window_terms(
    warehouse: Backend,
    histories: Histories,
    learned: Mapping[str, NDArray[np.int64]],
    queries: Sequence[str],
    items: int,
    settings: TextConfig,
    scratch: Path,
) -> dict[str, list[str]]:
    """Return the search terms of every item, joined, as known before each window; empty where settings leave them out.

    Args:
        warehouse: that will count them.
        histories: of all users.
        learned: window -> ``[users]``, absolute position where what may be counted for it ends.
        queries: text by query code.
        items: number of items.
        settings: how many terms, and from how many users.
        scratch: a folder for the events counted.
    """
    if not settings.search_terms:
        return {window: [""] * items for window in WINDOWS}
    terms = {}
    for window in WINDOWS:
        events = counted_events(warehouse, histories, learned[window], scratch / f"{window}.parquet", searches=True)
        counted = count_terms(
            warehouse, events, queries, items, most=settings.search_terms, min_users=settings.terms_min_users
        )
        terms[window] = [" ".join(own) for own in counted]
    return terms


def write_texts(out: Path, descriptions: Sequence[str], terms: Mapping[str, Sequence[str]]) -> list[str]:
    """Write ``TEXTS`` and ``TERMS`` into ``out``, and return the texts that models read.

    These are joined by what was known before the first window: models are trained before it.
    """
    texts = _joined(descriptions, terms[WINDOWS[0]])
    codes = pa.array(np.arange(len(texts), dtype=np.int32))
    written = {"item": codes, "text": pa.array(texts, pa.string()), "description": pa.array(descriptions, pa.string())}
    pq.write_table(pa.table(written), out / TEXTS)
    rows = [(window, item, own) for window in WINDOWS for item, own in enumerate(terms[window]) if own]
    windows, items, words = map(list, zip(*rows, strict=True)) if rows else ([], [], [])
    columns = {"window": pa.array(windows, pa.string()), "item": pa.array(items, pa.int32())}
    pq.write_table(pa.table({**columns, "terms": pa.array(words, pa.string())}), out / TERMS)
    return texts


def window_texts(prepared: Path, window: str) -> list[str]:
    """Return each item's text with the search terms that were known before ``window``."""
    descriptions = pq.read_table(prepared / TEXTS).sort_by("item")["description"].to_pylist()
    own = pq.read_table(prepared / TERMS, filters=[("window", "=", window)])
    terms = [""] * len(descriptions)
    for item, words in zip(own["item"].to_pylist(), own["terms"].to_pylist(), strict=True):
        terms[item] = words
    return _joined(descriptions, terms)


def told_query_texts(prepared: Path, least: int) -> list[str]:
    """Return the search terms by query code, empty where fewer than ``least`` users typed them."""
    texts = pq.read_table(prepared / "queries.parquet").sort_by("query")["text"].to_pylist()
    users = prepared / QUERY_USERS
    return told_queries(texts, np.load(users), least) if users.is_file() else texts


def _joined(descriptions: Sequence[str], terms: Sequence[str]) -> list[str]:
    return [" ".join(filter(None, both)) for both in zip(descriptions, terms, strict=True)]
