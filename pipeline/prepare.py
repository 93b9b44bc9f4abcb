"""Prepare: histories, windows, requests, labels, features and texts from the ingested tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import ibis.expr.types as ir
import numpy as np
from ibis.backends.duckdb import Backend
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, ACTIONS, MICROSECONDS
from commerce.histories import Histories
from commerce.laying import lay_histories, with_query_codes
from commerce.leaks import check_leaks
from commerce.prices import last_prices
from commerce.records import Requests
from commerce.requests import lay_requests, only_available, rolling_moments, single_moments
from commerce.sanity import changed_targets, target_shares
from commerce.sensitive import users_of_queries
from commerce.sessions import with_sessions
from commerce.splits import WINDOWS, Moments, Split, share_by_hash, split_by_last, split_by_time
from commerce.warehouse import open_warehouse
from configs.errors import InputError
from configs.schema import Config, PrepareConfig
from pipeline.catalogue import Catalogue, write_catalogue
from pipeline.intent_labels import label_intents
from pipeline.search_terms import QUERY_USERS, count_window_terms, write_texts
from pipeline.session_files import INTENT_MOMENTS, INTENT_RULES, write_sessions
from pipeline.shop_texts import ShopTexts
from pipeline.stage import Outcome, Work
from pipeline.user_hashes import HashedIds, user_key


def prepare(work: Work) -> Outcome:
    """Lay out everything that models are trained, judged and served with."""
    config, out = work.config, work.out
    gains = check_settings(config.prepare, config.evaluate.targets)
    ingested = work.run.stage("ingest")
    warehouse = open_warehouse(config.run.threads, config.data.memory_gb, work.scratch())
    catalogue = write_catalogue(ingested, config.data, out)
    events = with_sessions(warehouse.read_parquet(ingested / "events.parquet"), config.prepare.session_gap_minutes)
    events, queries = with_query_codes(warehouse, events)
    queries.to_parquet(out / "queries.parquet")
    query_texts = queries.to_pyarrow()["text"].to_pylist()
    trains_encoder = config.text.encoder == "train"
    report = [] if trains_encoder else ShopTexts(catalogue.texts, query_texts).report(config.text, out)

    histories = lay_histories(events, config.prepare.history_actions, len(catalogue.user_ids), out / "histories")
    np.save(out / QUERY_USERS, users_of_queries(histories, len(query_texts)))
    split, moments = _split(events, histories, catalogue.user_ids, config)
    halves = share_by_hash(catalogue.user_ids, config.run.seed, "fit", 0.5)
    rolling = config.prepare.requests == "rolling"
    requests = lay_requests(histories, split, moments, gains, halves, rolling=rolling)
    requests, hidden = only_available(requests, *catalogue.availability)
    relations = ingested / "relations.parquet"
    labelled = label_intents(
        warehouse, events, histories, split, requests, catalogue.leaf, relations, config.data, config.prepare
    )
    requests, labels = labelled.requests, labelled.positions
    key, _ = user_key(config.export.hash_key_variable, work.run.root)
    # What breaks a window is told under the hashes that everything else is told under: it may stand in a log.
    users = HashedIds(catalogue.user_ids, key)
    check_leaks(histories, split, requests, labels, catalogue.availability, users, catalogue.item_ids)
    learners = share_by_hash(catalogue.user_ids, config.run.seed, "learners", config.prepare.user_share)
    learned = split.learned(histories, learners)
    requests = requests.where((requests.window == "test") | learners[requests.user])
    _refuse_empty_windows(requests, gains)
    scratch = work.scratch()
    terms = count_window_terms(warehouse, histories, learned, query_texts, len(catalogue.texts), config.text, scratch)
    texts = ShopTexts(write_texts(out, catalogue.texts, terms), query_texts)
    if trains_encoder:
        report = texts.train_encoder(
            config.text,
            histories,
            learned["ranker"],
            split.starts.get("ranker"),
            catalogue,
            config.prepare.targets,
            config.run.seed,
            out,
        ) + texts.report(config.text, out)

    requests.write(out / "requests.parquet")
    np.savez(out / "cuts.npz", **split.cuts)  # type: ignore[arg-type]
    np.savez(out / "learned.npz", **learned)  # type: ignore[arg-type]
    np.save(out / "position_intents.npy", labels)
    labelled.moments.save(out / INTENT_MOMENTS)
    (out / INTENT_RULES).write_text(json.dumps(labelled.lines, ensure_ascii=False, indent=1), encoding="utf-8")
    prices = _prices(warehouse, events, histories, split, catalogue)
    np.save(out / "prices.npy", prices)
    write_sessions(out, catalogue.leaf, prices, query_texts, config.prepare.session_gap_minutes)
    windows = _windows(split, histories, config.prepare)
    (out / "windows.json").write_text(json.dumps(windows, indent=1))
    warehouse.disconnect()
    shares = target_shares(histories, split, sorted({*gains["ranker"], *gains["test"]}))
    warned = changed_targets(shares) if config.prepare.split == "time" else []
    told = []
    if not learners.all():
        told = [f"learned from {learners.sum():,} of {len(learners):,} users (prepare.user_share)"]
    if config.text.search_terms:
        known = {window: sum(map(bool, own)) for window, own in terms.items()}
        counts = ", ".join(f"{window} {count:,}" for window, count in known.items())
        told.append(f"items with search terms in their text, as known before each window: {counts}")
    return Outcome(
        [*catalogue.lines, *report, *_lines(histories, windows, requests, hidden), *labelled.lines, *told, *warned]
    )


def check_settings(prepare: PrepareConfig, evaluated: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return the gain of each action in each window.

    Raises:
        InputError: for a split, a way of asking or an action that is not known, or targets that leave histories.
    """
    judged = dict(evaluated or prepare.targets)
    for action in (*prepare.history_actions, *prepare.targets, *judged):
        _one_of("an action in prepare.history_actions, prepare.targets or evaluate.targets", action, ACTIONS)
    outside = sorted({*prepare.targets, *judged} - set(prepare.history_actions))
    if outside:
        raise InputError(f"{', '.join(outside)} is a target but not in prepare.history_actions; add it there")
    return {"ranker": dict(prepare.targets), "validation": judged, "test": judged}


def _one_of(setting: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InputError(f"{setting} is {value!r}; it must be one of {', '.join(known)}")


def _split(events: ir.Table, histories: Histories, user_ids: Sequence[str], config: Config) -> tuple[Split, Moments]:
    settings = config.prepare
    if settings.split == "leave_last_out":
        targets = [ACTION_CODES[action] for action in settings.targets]
        gives = share_by_hash(user_ids, config.run.seed, "ranker", settings.ranker_user_share)
        return split_by_last(histories, np.isin(histories.action, targets), gives)
    last = int(events.time.max().to_pyarrow().as_py())
    days = (settings.ranker_days, settings.validation_days, settings.test_days)
    split = split_by_time(histories, last, days)
    if settings.requests == "rolling":
        return split, rolling_moments(events, split)
    return split, single_moments(split, histories.users)


def _prices(
    warehouse: Backend, events: ir.Table, histories: Histories, split: Split, catalogue: Catalogue
) -> NDArray[np.float32]:
    """Return the items table's prices, and where it has none the last one paid before the ranker window."""
    cut = split.cuts[WINDOWS[0]]
    open_ = cut == histories.offsets[1:]
    until = np.where(open_, np.iinfo(np.int64).max, histories.time[np.minimum(cut, len(histories.time) - 1)])
    if split.starts:
        until = np.full(histories.users, split.starts[WINDOWS[0]])
    paid = last_prices(warehouse, events, until, len(catalogue.prices))
    return np.where(np.isfinite(catalogue.prices), catalogue.prices, paid).astype(np.float32)


def _refuse_empty_windows(requests: Requests, gains: Mapping[str, Mapping[str, float]]) -> None:
    for name in ("validation", "test"):
        if not np.any(requests.window == name):
            raise InputError(
                f"no user has a {' or '.join(gains[name])} in the {name} window, so nothing could be measured; "
                f"lengthen prepare.{name}_days, or choose other targets (prepare.targets, evaluate.targets)"
            )


def _windows(split: Split, histories: Histories, settings: PrepareConfig) -> dict[str, Any]:
    """Describe the windows: what each trains or judges, from when to when, and how many events lie in it."""
    counts = np.bincount(split.window_of(histories) + 1, minlength=len(WINDOWS) + 1)
    names = ("towers", *WINDOWS)
    starts = [int(histories.time.min()), *split.starts.values()] if split.starts else [None] * len(names)
    ends = [*starts[1:], int(histories.time.max()) + 1] if split.starts else starts
    windows = {
        name: {"from": start, "until": end, "events": int(count)}
        for name, start, end, count in zip(names, starts, ends, counts, strict=True)
    }
    return {"split": settings.split, "requests": settings.requests, "windows": windows}


def _lines(histories: Histories, windows: Mapping[str, Any], requests: Requests, hidden: int) -> list[str]:
    lines = [f"{len(histories.time):,} history events of {histories.users:,} users; split {windows['split']}"]
    for name, window in windows["windows"].items():
        asked = requests.of(name)
        span = "" if window["from"] is None else f", {_day(window['from'])} to {_day(window['until'])}"
        lines.append(
            f"  {name}: {window['events']:,} events{span}"
            + (f"; {len(asked):,} requests with {len(asked.items):,} relevant items" if name in WINDOWS else "")
        )
    if hidden:
        lines.append(f"  {hidden:,} relevant items were not available at their request's moment and do not count")
    if not len(requests.of("ranker")):
        lines.append("  no requests in the ranker window: no reranker can be trained")
    return lines


def _day(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / MICROSECONDS, UTC).strftime("%Y-%m-%d %H:%M")
