"""``mercato show RUN``: one screen from which a newcomer can tell whether the system works."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTIONS, NO_ITEM
from commerce.histories import Events, Histories
from configs.errors import InputError
from pipeline.user_hashes import hashed
from serving.user_keys import KEY_VARIABLE, key_from

_WIDTH = 118
"""Columns at least: the tables need them, also where the output goes to a file."""
_HEAD = 12
"""Hex digits of a hash that are shown."""
_RECENT = 5
"""Events of a user's history that are shown."""


@click.command(short_help="Print what a finished run found out.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--users", default=3, show_default=True, help="Users whose recommendations are shown.")
@click.option("-k", "--items", "k", default=5, show_default=True, help="Items per user.")
@click.option("--segments/--no-segments", default=False, help="Also show the metrics by segment.")
@click.option("--raw-ids", is_flag=True, help="Name users by the shop's ids, not by keyed hashes.")
def show(run: Path, users: int, k: int, segments: bool, raw_ids: bool) -> None:
    """Print the metrics of RUN beside the baselines, recommendations with reasons, and where its bundle lies."""
    from rich.console import Console

    from pipeline.tables import renderables

    console = Console(highlight=False, width=max(_WIDTH, Console().width))
    for name in ("metrics.json", "metrics_new_items.json"):
        if (run / name).is_file() or name == "metrics.json":
            for part in renderables(_metrics(run / name), segments):
                console.print(part)
            console.print()
    _show_users(console, run, users, k, raw_ids)
    _show_places(console, run)


def _metrics(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path} is not there; run `mercato run CONFIG` to its end first, or name its run folder")
    metrics: dict[str, Any] = json.loads(path.read_text())
    return metrics


def _show_users(console: Any, run: Path, count: int, k: int, raw_ids: bool) -> None:
    """Print the last events of some users and what the bundle recommends them now."""
    import pyarrow.parquet as pq

    from commerce.records import Requests
    from serving.commands import recommendation_table
    from serving.runtime import Runtime
    from serving.user_keys import UserKeyError

    runtime = Runtime(run / "bundle")
    histories = Histories.open(run / "prepare" / "histories")
    asked = Requests.read(run / "prepare" / "requests.parquet").of("test").user
    ids = pq.read_table(run / "ingest" / "user_ids.parquet").sort_by("code")["id"].to_pylist()
    titles = pq.read_table(run / "ingest" / "items.parquet", columns=["title"])["title"].to_pylist()
    for user in some(np.unique(asked), count):
        events = histories.events(user, int(histories.offsets[user + 1]))
        name = ids[user] if raw_ids else _pseudonym(runtime, str(ids[user]))
        console.print(f"User {name}: {len(events):,} events, the last: {_recent(titles, events)}", markup=False)
        try:
            recommended = runtime.recommend(str(ids[user]), k=k)
        except UserKeyError as error:
            # What was measured can be read without the key.
            console.print(f"No recommendations shown: {error}\n", markup=False)
            return
        console.print(recommendation_table(recommended, "recommended next"))
        console.print()


def _pseudonym(runtime: Any, user: str) -> str:
    """Return the head of a user's keyed hash, by which files tell users; without the key there is nothing to tell."""
    key = key_from((runtime.manifest["users"] or {}).get("key_variable", KEY_VARIABLE), runtime.folder.parent)
    return "(no key)" if key is None else hashed(key, user)[:_HEAD]


def some(users: NDArray[np.integer], count: int) -> list[int]:
    """Return ``count`` of the users, always the same ones, in no order that a log could have."""
    return sorted(users.tolist(), key=lambda user: hashlib.sha256(str(user).encode()).digest())[:count]


def _recent(titles: list[str], events: Events) -> str:
    last = events.last(_RECENT)
    named = (
        f"{ACTIONS[action]} {titles[item] if item != NO_ITEM else ''}".strip()
        for item, action in zip(last.item, last.action, strict=True)
    )
    return " | ".join(named)


def _show_places(console: Any, run: Path) -> None:
    """Print where the bundle and the experiment log are, and what became of the reranker."""
    from serving.verify import verify

    gate = json.loads((run / "train-ranker" / "gate.json").read_text())
    registered = json.loads((run / "register" / "registered.json").read_text())
    report = verify(run / "bundle")
    console.print(f"Reranker: {'shipped' if gate['shipped'] else 'not shipped'}; {gate['reason']}", markup=False)
    console.print(
        f"Bundle: {run / 'bundle'} (verified: {report.files} files, {report.golden.requests} golden requests)",
        markup=False,
    )
    console.print(f"Report: {run / 'report.html'}", markup=False)
    console.print(
        f"Model: {registered['model']} version {registered['version']}, alias {registered['alias']}", markup=False
    )
    console.print(f"Open the experiment log: mlflow ui --backend-store-uri {registered['uri']}", markup=False)
