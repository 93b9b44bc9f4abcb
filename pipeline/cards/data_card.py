"""The data card: what a bundle's models learned from, counted (Gebru et al. 2021, Datasheets for Datasets)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.columns import ACTIONS, MICROSECONDS, NO_ITEM
from commerce.histories import Histories
from commerce.records import Requests
from configs.schema import Config
from pipeline.cards.markdown import cell, share, table
from pipeline.run_folder import RunFolder

_TABLES = ("events", "items", "users", "relations")
_TOP = 0.01
"""Share of the items whose part of all events is told."""


def data_card(run: RunFolder, config: Config, facts: Mapping[str, Any]) -> str:
    """Return the card.

    Args:
        run: where ``ingest`` and ``prepare`` have finished.
        config: of the run.
        facts: of the bundle's manifest.
    """
    ingested, prepared = run.stage("ingest"), run.stage("prepare")
    lines = [f"# Data card: {cell(facts['name'])}", "", "Counted by `mercato export`; no row of it names a user.", ""]
    lines += [*_rows(ingested), *_quarantine(ingested)]
    if not config.data.items_only:
        histories = Histories.open(prepared / "histories")
        lines += [*_windows(prepared), *_actions(ingested), *_activity(histories, _items(ingested))]
    lines += [*_texts(prepared), *_columns(config), *_ids(config, facts)]
    return "\n".join(lines)


def _rows(ingested: Path) -> list[str]:
    rows = [
        (name, f"{pq.read_metadata(ingested / f'{name}.parquet').num_rows:,}")
        for name in _TABLES
        if (ingested / f"{name}.parquet").is_file()
    ]
    return ["## Tables", "", *table(("table", "rows used"), rows)]


def _quarantine(ingested: Path) -> list[str]:
    bad = pq.read_table(ingested / "quarantine.parquet", columns=["table", "reason"])
    if not bad.num_rows:
        return ["No row was put aside.", ""]
    counted = bad.group_by(["table", "reason"]).aggregate([([], "count_all")]).sort_by([("count_all", "descending")])
    rows = [(f"{row['table']}: {row['reason']}", f"{row['count_all']:,}") for row in counted.to_pylist()]
    return ["## Rows put aside", "", *table(("table and reason", "rows"), rows)]


def _windows(prepared: Path) -> list[str]:
    found = json.loads((prepared / "windows.json").read_text(encoding="utf-8"))
    everything = Requests.read(prepared / "requests.parquet")
    rows = [
        (
            name,
            _day(window["from"]),
            _day(window["until"]),
            f"{window['events']:,}" if window.get("events") is not None else "-",
            f"{int((everything.window == name).sum()):,}",
        )
        for name, window in found["windows"].items()
    ]
    return [
        f"## Windows (split `{found['split']}`, UTC)",
        "",
        *table(("window", "from", "until", "events", "requests"), rows),
    ]


def _actions(ingested: Path) -> list[str]:
    summary = json.loads((ingested / "summary.json").read_text(encoding="utf-8"))
    rows = [(name, f"{count:,}", share(count, summary["events"])) for name, count in summary["actions"].items()]
    absent = [action for action in ACTIONS if action not in summary["actions"]]
    lines = [f"## Actions, {summary['first']} to {summary['last']}", "", *table(("action", "events", "share"), rows)]
    return [*lines, f"Never in the log: {', '.join(absent)}.", ""] if absent else lines


def _activity(histories: Histories, items: int) -> list[str]:
    """Say how events spread over users and items; of the events that models read."""
    lengths = np.diff(histories.offsets)
    met = np.bincount(histories.item[histories.item != NO_ITEM], minlength=items)
    top = np.sort(met)[::-1][: max(1, round(_TOP * items))].sum()
    rows = [
        ("users without an event", share(int((lengths == 0).sum()), len(lengths))),
        ("users with 1 to 4 events", share(int(((lengths > 0) & (lengths < 5)).sum()), len(lengths))),
        ("events per user: median, 90th percentile, most", _quantiles(lengths)),
        ("items that nobody met", share(int((met == 0).sum()), items)),
        ("events per item: median, 90th percentile, most", _quantiles(met)),
        (f"events of the {_TOP:.0%} most met items", share(int(top), int(met.sum()))),
    ]
    return ["## Users and items, by the events that models read", "", *table(("what", "how much"), rows)]


def _quantiles(counts: NDArray[np.integer]) -> str:
    if not len(counts):
        return "-"
    median, high = np.quantile(counts, (0.5, 0.9))
    return f"{median:,.0f}, {high:,.0f}, {counts.max():,}"


def _texts(prepared: Path) -> list[str]:
    """Say in which scripts texts are written: with Chinese, Japanese or Korean letters, with others, empty."""
    rows = []
    for kind, file in (("product texts", "item_texts.parquet"), ("different search terms", "queries.parquet")):
        texts = [str(text or "") for text in pq.read_table(prepared / file, columns=["text"])["text"].to_pylist()]
        east = sum(any(map(_is_east_asian, text)) for text in texts)
        empty = sum(not text.strip() for text in texts)
        parts = (east, len(texts) - east - empty, empty)
        rows.append((kind, f"{len(texts):,}", *(share(part, len(texts)) for part in parts)))
    columns = ("texts", "number", "with Chinese, Japanese or Korean", "other scripts alone", "empty")
    return ["## Languages, by script", "", *table(columns, rows)]


def _is_east_asian(letter: str) -> bool:
    return "\u3040" <= letter <= "\u30ff" or "\u3400" <= letter <= "\u9fff" or "\uac00" <= letter <= "\ud7af"


def _columns(config: Config) -> list[str]:
    data = config.data
    told = {
        "product text": data.item_text,
        "item features": [*data.item_categorical, *data.item_numeric],
        "user features": [
            *data.modelled_categories,
            *(name for name in data.user_numeric if name not in data.sensitive),
        ],
        "sensitive, in no model and no text": data.sensitive,
        "measured by themselves": config.evaluate.segments,
    }
    return ["## Columns", "", *(f"- {what}: {', '.join(names) or 'none'}." for what, names in told.items()), ""]


def _ids(config: Config, facts: Mapping[str, Any]) -> list[str]:
    users, lines = facts["users"], ["## Who is in it", ""]
    if users is None:
        lines.append("- The bundle holds no users: callers send events.")
    else:
        lines.append(
            f"- The bundle holds the histories of {users['count']:,} users under HMAC-SHA256 of their ids (key in "
            f"`{users['key_variable']}`, not in the bundle); their searches are stored as text."
        )
    lines += [
        "- The model registry holds measures by request under the same keyed hashes (docs/registry.md).",
        "- The run folder (`ingest/`, `evaluate/requests.csv`) holds user ids as they came; it is not for passing on.",
    ]
    if config.text.search_terms:
        lines.append(
            f"- Product texts hold search terms that at least {config.text.terms_min_users:,} different users typed."
        )
    return [*lines, ""]


def _items(ingested: Path) -> int:
    return int(pq.read_metadata(ingested / "items.parquet").num_rows)


def _day(microseconds: int | None) -> str:
    if microseconds is None:
        return "each user's own"
    return datetime.fromtimestamp(microseconds / MICROSECONDS, UTC).strftime("%Y-%m-%d %H:%M")
