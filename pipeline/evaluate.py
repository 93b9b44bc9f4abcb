"""Evaluate: every system's lists for the test window, under one protocol, into ``metrics.json``."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.columns import MICROSECONDS
from commerce.comparison import Asked, Precision, compare
from commerce.durable import write_atomic
from commerce.intent_measures import intent_block, last_actions, plain_rules
from commerce.metrics import Relevant
from commerce.records import Requests, read_ranked, write_ranked
from commerce.sanity import nearly_solved
from learning.hardware import machine
from pipeline.asked import WINDOW, choose
from pipeline.asking import Shop
from pipeline.baselines import oracle_intents, rank_baselines, rank_oracle
from pipeline.evaluate_ranking import write_requests
from pipeline.item_facts import read_item_facts
from pipeline.probabilities import read_probabilities
from pipeline.probe import probe_vectors
from pipeline.report.compose import write_report
from pipeline.resampling import resampling
from pipeline.retrieve import VARIANTS
from pipeline.rule_prices import price_lines, rule_prices
from pipeline.run_folder import RunFolder
from pipeline.segments import segments_of
from pipeline.shop_rules import BEFORE, SCORED, arrange_lists, asks_rules, read_rules
from pipeline.source_shares import measure_sources
from pipeline.stage import Outcome, Work
from pipeline.systems import Lists, Terms, check_lists, rank_vectors
from pipeline.tables import cut_off, metrics_lines
from pipeline.user_hashes import HashedIds, user_key
from ranking.after import Rules

FORMAT = 1
"""Version of ``metrics.json``."""


def evaluate(work: Work) -> Outcome:
    """Measure the shipped order, the towers alone and the baselines; publish ``metrics.json`` and ``report.html``."""
    config = work.config
    protocols = [("metrics.json", "rankings", config.evaluate.filter_seen, "test.parquet")]
    if config.evaluate.new_items_too:
        protocols.append(("metrics_new_items.json", "rankings_new_items", True, "test_new.parquet"))
    lines, published = [], []
    for name, folder, filter_seen, shipped in protocols:
        metrics = measure(work, filter_seen, work.run.stage("rank") / shipped, work.out / folder)
        text = json.dumps(metrics, indent=1, ensure_ascii=False)
        (work.out / name).write_text(text, encoding="utf-8")
        write_atomic(work.run.root / name, text)
        published.append(work.run.root / name)
        if len(protocols) > 1:
            lines.append("Items new to their user alone:" if filter_seen else "All items, repeats included:")
        lines += [*metrics_lines(metrics), *metrics["segment_notes"], *price_lines(metrics["after"]), ""]
    report = write_report(work.run, work.out, config.run.seed)
    return Outcome([*lines, f"report: {report}"], [*published, report])


def measure(work: Work, filter_seen: bool, shipped: Path, rankings: Path) -> dict[str, Any]:
    """Return what one ``metrics.json`` holds, and write every system's lists into the folder ``rankings``."""
    config, run = work.config, work.run
    prepared = run.stage("prepare")
    targets = config.evaluate.targets or config.prepare.targets
    shop = Shop.open(prepared, targets)
    histories = shop.histories
    everything = Requests.read(prepared / "requests.parquet")
    whole = everything.of(WINDOW)
    seen_by = tuple(targets) if filter_seen else ()
    chosen = choose(whole, histories, seen_by, config.evaluate.max_requests, config.run.seed)
    kept, requests, relevant, dropped = chosen.kept, chosen.requests, chosen.relevant, chosen.dropped
    terms = Terms(requests, histories, shop.available_from, shop.available_until, seen_by, max(config.evaluate.at))
    lists = _rank_all(work, terms, shop, kept, shipped)
    rankings.mkdir()
    variants = np.load(run.stage("retrieve") / VARIANTS) if config.retrieval.variants == "one" else None
    for name, (items, scores) in lists.items():
        check_lists(name, items, terms, variants if name == "mercato" else None)
        write_ranked(rankings / f"{name}.parquet", requests.request_id, items, scores)
    user_ids = pq.read_table(run.stage("ingest") / "user_ids.parquet").sort_by("code")["id"].to_pylist()
    key, _ = user_key(config.export.hash_key_variable, run.root)
    asked_file = rankings.with_name(rankings.name.replace("rankings", "requests") + ".csv")
    write_requests(asked_file, requests, HashedIds(user_ids, key), list(shop.queries))

    segments, notes, events = segments_of(
        run, requests, relevant, histories, terms.items, asdict(config.evaluate), asdict(config.data)
    )
    asked = Asked(requests.user, relevant, _shown_at_all(terms), read_item_facts(run, config, events))
    precision = Precision(**resampling(config))
    ranked = {name: items for name, (items, _) in lists.items()}
    systems, paired, parts = compare(
        ranked, asked, config.evaluate.at, precision, _pairs(list(ranked)), segments, config.evaluate.segments_at
    )
    return {
        "format": FORMAT,
        "dataset": config.run.name,
        "split": config.prepare.split,
        "targets": dict(targets),
        "window": _window(prepared),
        "filter_seen": filter_seen,
        "repeats": _repeat_rule(filter_seen, dropped, len(whole)),
        "requests": len(requests),
        "requests_dropped": dropped,
        "users": len(np.unique(requests.user)),
        "items": terms.items,
        "catalogue": asked.catalogue,
        "item_group": config.evaluate.item_group or None,
        "seed": config.run.seed,
        "intervals": {
            "confidence": config.evaluate.confidence,
            "resamples": config.evaluate.bootstrap,
            "over": "users",
        },
        "hardware": machine(),
        "systems": systems,
        "paired": paired,
        "segments": parts,
        "segment_sizes": _sizes(segments, asked),
        "segment_notes": notes,
        "after": _prices(work, shop, requests, relevant, shipped, filter_seen),
        "probabilities": _probabilities(work.run),
        "sources": measure_sources(work, shop, requests, relevant, _users(work, kept), filter_seen),
        "warnings": nearly_solved(_headline(systems)),
        "intent": _intent(work, everything, requests, kept, shop),
        "sensitive_probe": probe_vectors(work, whole),
    }


def _rank_all(work: Work, terms: Terms, shop: Shop, kept: NDArray[np.bool_], shipped: Path) -> dict[str, Lists]:
    """Return every system's lists; ``kept`` ([test requests]) says which rows of the user vectors are theirs."""
    embedded = work.run.stage("embed")
    items, scores = read_ranked(shipped, terms.requests.request_id)
    lists = {
        "mercato": (items[:, : terms.depth], scores[:, : terms.depth]),
        "towers": rank_vectors(terms, np.load(embedded / "item_vectors.npy", mmap_mode="r"), _users(work, kept)),
    }
    lists |= rank_baselines(work, terms, shop)
    if work.config.data.reader == "bazaar":
        lists["oracle"] = rank_oracle(work, terms, shop)
    return lists


def _prices(
    work: Work, shop: Shop, requests: Requests, relevant: Relevant, shipped: Path, filter_seen: bool
) -> dict[str, Any] | None:
    """Return what the shop's rules cost; None where it has none."""
    value = work.config.rank.value
    if not asks_rules(work.config.after) and not value:
        return None
    rules = read_rules(work.run, work.config)

    def read(ending: str) -> Lists:
        return read_ranked(shipped.with_name(f"{shipped.stem}{ending}.parquet"), requests.request_id)

    by_value = read(BEFORE if asks_rules(work.config.after) else "")
    by_score = read(SCORED) if value else by_value
    vectors = np.load(work.run.stage("embed") / "item_vectors.npy", mmap_mode="r")
    groups = np.load(work.run.stage("retrieve") / VARIANTS) if work.config.retrieval.variants == "one" else None

    def arranged(some: Rules, lists: Lists = by_value) -> NDArray[np.int32]:
        return arrange_lists(lists, some, requests, shop, vectors, groups, filter_seen=filter_seen).items

    return rule_prices(
        rules,
        arranged,
        by_score[0],
        arranged(rules, by_score) if value else None,
        relevant,
        requests.user,
        **resampling(work.config),
    )


def _probabilities(run: RunFolder) -> dict[str, Any] | None:
    """Return how well the probabilities that ship were judged on ``gate``; None where there are none."""
    fitted = read_probabilities(run.stage("rank"))
    return None if fitted is None else dict(fitted["judged"])


def _users(work: Work, kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the user vectors of the measured requests."""
    vectors: NDArray[np.float32] = np.load(work.run.stage("embed") / f"users_{WINDOW}.npy", mmap_mode="r")[kept]
    return vectors


def _headline(systems: dict[str, Any]) -> dict[str, float]:
    """Return each system's NDCG at the cut-off shown, without the oracle, which knows how the shop works."""
    k = cut_off({"systems": systems})
    return {name: found[f"ndcg@{k}"]["value"] for name, found in systems.items() if name != "oracle"}


def _pairs(systems: list[str]) -> list[tuple[str, str]]:
    """Return which systems are compared: ours with each baseline, and with each other."""
    baselines = [name for name in systems if name not in ("mercato", "towers", "oracle")]
    pairs = [(ours, baseline) for ours in ("mercato", "towers") for baseline in baselines]
    return [*pairs, ("mercato", "towers")]


def _shown_at_all(terms: Terms) -> int:
    """Return how many items were available at some request's moment, or between two of them."""
    first, last = terms.requests.time.min(), terms.requests.time.max()
    return int(((terms.available_from <= last) & (terms.available_until > first)).sum())


def _sizes(segments: list[Any], asked: Asked) -> dict[str, dict[str, int]]:
    sizes = {}
    for segment in segments:
        rows = asked.relevant.only(segment.keep).counts > 0
        sizes[segment.name] = {"requests": int(rows.sum()), "users": len(np.unique(asked.users[rows]))}
    return sizes


def _intent(
    work: Work, everything: Requests, requests: Requests, kept: NDArray[np.bool_], shop: Shop
) -> dict[str, Any] | None:
    config, histories = work.config, shop.histories
    probabilities = np.load(work.run.stage("embed") / f"intents_{WINDOW}.npy")[kept]
    earlier = everything.where(everything.window != WINDOW)
    actions, earlier_actions = (
        last_actions(histories.action, histories.offsets[asked.user], asked.history_end)
        for asked in (requests, earlier)
    )
    rules = plain_rules(actions, earlier.intent, earlier_actions)
    if rules is None:
        return None
    systems = {"head": probabilities, **rules}
    oracle = oracle_intents(work, requests, shop) if config.data.reader == "bazaar" else None
    if oracle is not None:
        systems["oracle"] = oracle
    return intent_block(
        systems,
        requests.intent,
        requests.user,
        **resampling(config),
    )


def _window(prepared: Path) -> dict[str, str | None]:
    """Return the window's first moment and the one it ends before, in UTC; None where each user has their own."""
    bounds = json.loads((prepared / "windows.json").read_text())["windows"][WINDOW]
    return {side: _moment(bounds[side]) for side in ("from", "until")}


def _moment(microseconds: int | None) -> str | None:
    if microseconds is None:
        return None
    return datetime.fromtimestamp(microseconds / MICROSECONDS, UTC).isoformat(timespec="seconds")


def _repeat_rule(filter_seen: bool, dropped: int, whole: int) -> str:
    if not filter_seen:
        return "allowed: items the user had before may be listed and count"
    return (
        "left out: items the user had before are in no list and do not count; "
        f"{dropped:,} of {whole:,} requests had no others and were dropped"
    )
