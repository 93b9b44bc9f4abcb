"""What the report is made from: the files of one run, read once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.histories import Histories
from commerce.metrics import Relevant
from commerce.records import Requests, read_ranked, read_table
from commerce.seen import drop_seen
from configs.schema import TextConfig
from pipeline.asked import WINDOW
from pipeline.catalogue import sensitive_items
from pipeline.run_folder import RunFolder
from pipeline.search_terms import told_query_texts

# As evaluate, retrieve and the gate name them; their own constants lie in modules that import torch.
_MEASUREMENTS = (
    ("main", "metrics.json", "rankings", "test.parquet"),
    ("new_items", "metrics_new_items.json", "rankings_new_items", "test_new.parquet"),
)

RARE = "(words that few typed)"
"""Stands for search terms that could tell who typed them."""


@dataclass(frozen=True)
class Shop:
    """Whom and what the lists are about."""

    histories: Histories
    cuts: NDArray[np.int64]
    """``[users]``: where the test window cuts the histories, as absolute positions."""
    titles: list[str]
    """By item code."""
    queries: list[str]
    """Search terms by query code; ``RARE`` where hardly anybody typed them."""
    sensitive: NDArray[np.bool_] | None = None
    """``[items]``: those of which nothing is told; None where no category is sensitive."""


@dataclass(frozen=True)
class Measurement:
    """One protocol: what ``metrics.json`` says, and the requests and lists behind it."""

    protocol: str
    """``main`` or ``new_items``, as the gate names them."""
    metrics: dict[str, Any]
    requests: Requests
    """Those that were measured."""
    relevant: Relevant
    """Their relevant items, after the repeat rule."""
    rankings: Path
    """Folder of every system's lists."""
    candidates: Path
    """File of what each candidate source found."""

    @property
    def systems(self) -> list[str]:
        """Names of the systems, the shipped order first."""
        return list(self.metrics["systems"])

    def ranked(self, system: str, depth: int) -> NDArray[np.int32]:
        """Return the first ``depth`` items of each of a system's lists, ``[requests, depth or fewer]``, -1 padded."""
        items, _ = read_ranked(self.rankings / f"{system}.parquet", self.requests.request_id)
        return items[:, :depth]


def open_shop(run: RunFolder) -> Shop:
    """Open histories (memory-mapped), titles and search terms."""
    prepared = run.stage("prepare")
    items = pq.read_table(run.stage("ingest") / "items.parquet", columns=["item", "title"]).sort_by("item")
    titles = [title or f"item without a title ({code})" for code, title in enumerate(items["title"].to_pylist())]
    settings = (run.manifest("prepare") or {}).get("settings", {})
    least = settings.get("text", {}).get("terms_min_users", TextConfig().terms_min_users)
    return Shop(
        histories=Histories.open(prepared / "histories"),
        cuts=np.load(prepared / "cuts.npz")[WINDOW],
        titles=titles,
        queries=[text or RARE for text in told_query_texts(prepared, least)],
        sensitive=sensitive_items(prepared),
    )


def open_measurements(run: RunFolder, evaluated: Path, shop: Shop) -> list[Measurement]:
    """Return the measurements in the folder ``evaluated``: all items first, then items new to their user alone."""
    asked = Requests.read(run.stage("prepare") / "requests.parquet").of(WINDOW)
    found = []
    for protocol, name, rankings, candidates in _MEASUREMENTS:
        if not (evaluated / name).is_file():
            continue
        metrics = json.loads((evaluated / name).read_text(encoding="utf-8"))
        requests = asked.where(np.isin(asked.request_id, _measured(evaluated / rankings)))
        relevant = Relevant(requests.offsets, requests.items, requests.gains)
        if metrics["filter_seen"]:
            ends = requests.history_end
            relevant = drop_seen(relevant, shop.histories, requests.user, ends, list(metrics["targets"]))
        source = run.stage("retrieve") / candidates
        found.append(Measurement(protocol, metrics, requests, relevant, evaluated / rankings, source))
    return found


def _measured(rankings: Path) -> NDArray[np.int64]:
    """Return the ids of the requests that were measured.

    The towers rank whatever is available, so only a request at whose moment the whole catalogue was out of stock
    would be missed.
    """
    return np.unique(read_table("rankings", rankings / "towers.parquet")["request_id"].to_numpy())
