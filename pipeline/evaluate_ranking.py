"""``mercato evaluate CONFIG --ranking FILE``: given ranked lists in the same table as the run's systems."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_QUERY
from commerce.comparison import Asked, Precision, compare
from commerce.given_rankings import Given
from commerce.records import Requests
from configs.errors import InputError
from configs.schema import Config
from pipeline.asked import Evaluated
from pipeline.asking import Shop
from pipeline.evaluations import NEW_ITEMS, keep
from pipeline.given_lists import lay_lists
from pipeline.item_facts import read_item_facts
from pipeline.resampling import resampling
from pipeline.run_folder import RunFolder, sha256
from pipeline.segments import segments_of
from pipeline.systems import Lists, Terms, check_lists
from pipeline.tables import metrics_lines
from pipeline.user_hashes import user_key, with_hashed_users


def name_of(file: Path, name: str, taken: tuple[str, ...] = ()) -> str:
    """Return the name under which a file's lists are measured: ``name``, or the file's own.

    Raises:
        InputError: for a name that is no file name, or that of a system of the run.
    """
    chosen = name or file.stem
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", chosen):
        raise InputError(f"--name {chosen!r} must be of letters, digits, '.', '_' and '-', for a file is called so")
    if chosen.endswith(NEW_ITEMS):
        raise InputError(f"--name {chosen} ends as the files of new items do ({NEW_ITEMS}); choose another")
    if chosen in taken:
        raise InputError(f"--name {chosen} is a system of the run already; choose one beside {', '.join(taken)}")
    return chosen


def evaluate_ranking(config: Config, given: Given, file: Path, name: str, say: Callable[[str], None]) -> None:
    """Measure given lists on the requests that the run's own systems were measured on; write ``evaluations/NAME.json``.

    The lists are kept beside it, for ``mercato compare``. Where the run measures items new to their user besides, so
    are these lists, into ``NAME_new_items.json``.

    Args:
        config: of a run that ``evaluate`` has finished under.
        given: the lists, as read from ``file``.
        file: where they come from.
        name: the system's.
        say: takes each line of the result.
    """
    run = RunFolder(Path(config.run.folder))
    told = {"name": name, "file": file.name, "sha256": sha256(file)}
    for new_items in (False, True) if config.evaluate.new_items_too else (False,):
        measured = Evaluated.open(run.root, new_items)
        name_of(file, name, tuple(measured.systems))
        terms, (items, scores), notes = _lay(config, run, measured, given, name)
        metrics = _metrics(config, run, measured, terms, name, items)
        metrics["ranking"] = {**told, "notes": notes}
        path = keep(measured, name, metrics, items, scores)
        if config.evaluate.new_items_too:
            say("Items new to their user alone:" if new_items else "All items, repeats included:")
        pair = f"{name} - mercato"
        lines = metrics_lines({**metrics, "paired": {pair: metrics["paired"][pair]}})
        for line in (*lines, *(f"{name}: {note}" for note in notes), f"{name} -> {path}"):
            say(line)


def _lay(
    config: Config, run: RunFolder, measured: Evaluated, given: Given, name: str
) -> tuple[Terms, Lists, list[str]]:
    """Return the terms of the measurement, the given lists as they are under them, and what was done to them."""
    prepared = run.stage("prepare")
    targets = measured.metrics["targets"]
    shop = Shop.open(prepared, targets)
    seen_by = tuple(targets) if measured.metrics["filter_seen"] else ()
    terms = Terms(
        measured.requests, shop.histories, shop.available_from, shop.available_until, seen_by, max(config.evaluate.at)
    )
    known = Requests.read(prepared / "requests.parquet").request_id
    key, _ = user_key(config.export.hash_key_variable, run.root)
    given, users = with_hashed_users(given, measured.ids("user"), key)
    lists, notes = lay_lists(given, terms, users, measured.ids("item"), known)
    check_lists(name, lists[0], terms)
    return terms, lists, notes


def _metrics(
    config: Config, run: RunFolder, measured: Evaluated, terms: Terms, name: str, listed: NDArray[np.int32]
) -> dict[str, Any]:
    """Return the run's metrics with the given system among them."""
    segments, _, events = segments_of(
        run,
        measured.requests,
        measured.relevant,
        measured.histories,
        terms.items,
        asdict(config.evaluate),
        asdict(config.data),
    )
    before = measured.metrics
    facts = read_item_facts(run, config, events)
    asked = Asked(measured.requests.user, measured.relevant, before["catalogue"], facts)
    precision = Precision(**resampling(config))
    lists = {name: listed, "mercato": measured.lists("mercato")[0]}
    pairs = [(name, "mercato")]
    systems, paired, parts = compare(
        lists, asked, config.evaluate.at, precision, pairs, segments, config.evaluate.segments_at
    )
    return {
        **before,
        "systems": {name: systems[name], **before["systems"]},
        "paired": {**paired, **before["paired"]},
        "segments": {part: {name: parts[part][name], **found} for part, found in before["segments"].items()},
    }


def write_requests(path: Path, requests: Requests, user_ids: Sequence[str], queries: list[str]) -> None:
    """Write whom to rank for: request_id, user_id (hashed), timestamp (UTC) and search terms of each request."""
    moments = np.datetime_as_string(requests.time.astype("datetime64[us]"))
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["request_id", "user_id", "timestamp", "query"])
        rows.writerows(
            (request, user_ids[user], f"{moment}Z", "" if query == NO_QUERY else queries[query])
            for request, user, moment, query in zip(
                requests.request_id.tolist(), requests.user, moments, requests.query, strict=True
            )
        )
