"""Which requests a measurement is made on, and what is relevant in them: chosen by ``evaluate``, read back by tools."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.histories import Histories
from commerce.metrics import Relevant
from commerce.records import Requests, read_ranked
from commerce.seen import drop_seen
from configs.errors import InputError
from pipeline.run_folder import RunFolder

WINDOW = "test"


@dataclass(frozen=True)
class Chosen:
    """The requests that are measured."""

    kept: NDArray[np.bool_]
    """``[requests of the window]``: which those are."""
    requests: Requests
    relevant: Relevant
    """Row by row; where repeats do not count, without the items that users had before."""
    dropped: int
    """Requests left out because nothing relevant in them was new to their user."""


def choose(whole: Requests, histories: Histories, seen_by: tuple[str, ...], most: int, seed: int) -> Chosen:
    """Choose the requests of one window that are measured.

    Args:
        whole: all of the window's.
        histories: of all users.
        seen_by: actions by which a user has had an item, so that it does not count; empty where repeats count.
        most: requests at most; 0 for all (``evaluate.max_requests``).
        seed: of the choice of users, where not all are measured.

    Raises:
        InputError: if nothing is left to measure.
    """
    kept = whole_users(whole, most, seed)
    relevant = Relevant(whole.offsets, whole.items, whole.gains)
    dropped = 0
    if seen_by:
        relevant = drop_seen(relevant, histories, whole.user, whole.history_end, seen_by)
        emptied = kept & (relevant.counts == 0)
        dropped = int(emptied.sum())
        kept = kept & ~emptied
    if not kept.any():
        left = f"all {dropped:,} of them had only items that their user had before" if dropped else "there are none"
        raise InputError(
            f"no request of the test window can be measured: {left}; lengthen prepare.test_days, name other targets in "
            "evaluate.targets, or set evaluate.filter_seen=false"
        )
    return Chosen(kept, whole.where(kept), relevant.of(kept), dropped)


def whole_users(requests: Requests, most: int, seed: int) -> NDArray[np.bool_]:
    """Choose whole users, one at least, by hash, as long as their requests stay within ``most``; 0 chooses all."""
    if not most or len(requests) <= most:
        return np.ones(len(requests), dtype=bool)
    users, counts = np.unique(requests.user, return_counts=True)
    drawn = [hashlib.blake2b(f"{seed}:evaluate:{user}".encode(), digest_size=8).digest() for user in users]
    order = np.argsort(np.array([int.from_bytes(digest) for digest in drawn], dtype=np.uint64))
    fit = np.cumsum(counts[order]) <= most
    fit[0] = True
    return np.isin(requests.user, users[order][fit])


@dataclass(frozen=True)
class Evaluated:
    """A finished measurement, read back from the run folder that it lies in."""

    root: Path
    metrics: dict[str, Any]
    """Its ``metrics.json``."""
    settings: dict[str, Any]
    """What ``evaluate`` ran under: sections and single settings of the config, as its manifest has them."""
    requests: Requests
    relevant: Relevant
    histories: Histories
    rankings: Path
    """Folder with a file of ranked lists per system."""
    new_items: bool = False
    """Whether it is the measurement of items new to their user."""

    @classmethod
    def open(cls, root: Path, new_items: bool = False) -> Evaluated:
        """Read the measurement in the run folder ``root``; ``new_items``: the one of items new to their user.

        Raises:
            InputError: if the run has not come that far, or its stages do not belong together.
        """
        run = RunFolder(root)
        evaluated, prepared = run.stage("evaluate"), run.stage("prepare")
        name, folder = ("metrics_new_items.json", "rankings_new_items") if new_items else ("metrics.json", "rankings")
        if not (evaluated / name).is_file():
            raise InputError(f"{evaluated / name} is not there; set evaluate.new_items_too=true and evaluate again")
        metrics = json.loads((evaluated / name).read_text(encoding="utf-8"))
        settings = (run.manifest("evaluate") or {})["settings"]
        seen_by = tuple(metrics["targets"]) if metrics["filter_seen"] else ()
        histories = Histories.open(prepared / "histories")
        whole = Requests.read(prepared / "requests.parquet").of(WINDOW)
        chosen = choose(whole, histories, seen_by, settings["evaluate"]["max_requests"], metrics["seed"])
        if len(chosen.requests) != metrics["requests"]:
            raise InputError(
                f"{root} was measured on {metrics['requests']:,} requests, but its prepare stage now has "
                f"{len(chosen.requests):,} of that kind; run `mercato run CONFIG` for it again"
            )
        lists = evaluated / folder
        return cls(root, metrics, settings, chosen.requests, chosen.relevant, histories, lists, new_items)

    @property
    def systems(self) -> list[str]:
        """Names of the systems that were measured."""
        return list(self.metrics["systems"])

    @property
    def depth(self) -> int:
        """Places of a list that were kept."""
        return int(max(self.settings["evaluate"]["at"]))

    def lists(self, system: str) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return a system's items and scores, ``[requests, depth or fewer]``.

        Raises:
            InputError: if there is no such system.
        """
        path = self.rankings / f"{system}.parquet"
        if not path.is_file():
            raise InputError(f"{self.root} has no system {system}; it measured {', '.join(self.systems)}")
        return read_ranked(path, self.requests.request_id)

    def ids(self, kind: str) -> list[str]:
        """Return the shop's ids of its ``item`` or ``user`` codes, in order of code."""
        path = self.root / "ingest" / f"{kind}_ids.parquet"
        found: list[str] = pq.read_table(path).sort_by("code")["id"].to_pylist()
        return found
