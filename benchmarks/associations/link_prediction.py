"""Which items go with which: does the graph, counted over earlier sessions, foretell what later ones hold?

    python benchmarks/associations/link_prediction.py configs/demo.yaml [key=value ...] [--window test]
    python benchmarks/associations/link_prediction.py FOLDER_OF_BUNDLES

Every item of a later group (what a user bought within a period, or viewed in a session without buying both) is a
question whose answers are the group's other items; with leave-last-out, the item before the cut asks for the one after
it. Each measure of the graph answers with its ten strongest edges, beside what the source ``associations`` counts
(``today``), texts by BM25 and popularity. Then each measure takes the place of that count in the source, on the ``fit``
half of the validation window.

A folder of bundles has ``session_item.csv``, ``user_session.csv``, ``session_bundle.csv``, ``bundle_item.csv`` and
``item_titles.csv``: the graph counts the earlier four fifths of the sessions, and the bundles that people made of the
later ones are the groups.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend
from numpy.typing import NDArray

from commerce.associations import count_associations, count_popularity, counted_events
from commerce.columns import ACTION_CODES, MICROSECONDS, NO_ITEM
from commerce.edges import Edges
from commerce.graph import MEASURES, count_graph, graph_edges
from commerce.groups import KINDS, group_items
from commerce.histories import Histories
from commerce.intervals import bootstrap, paired
from commerce.metrics import Relevant, find, ndcg, recall
from commerce.records import Requests
from commerce.warehouse import open_warehouse
from configs.load import load_config
from configs.schema import Config, GraphConfig, RetrievalConfig
from pipeline.asking import Shop, blocks
from pipeline.run_folder import RunFolder
from retrieval.lexical import LexicalSource
from retrieval.sources import AssociationSource

K = 10
QUESTIONS = 4000
"""Questions of a kind, and requests, at most, taken evenly."""
OPTIONS = {"resamples": 1000, "confidence": 0.95, "seed": 0}
Lists = NDArray[np.int32]


@dataclass(frozen=True)
class Questions:
    """Items that ask what goes with them."""

    item: NDArray[np.int32]
    user: NDArray[np.int64]
    relevant: Relevant


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("source", help="a config, whose run has been prepared, or a folder of bundles")
    arguments.add_argument("overrides", nargs="*")
    arguments.add_argument("--window", default="test", choices=("validation", "test"))
    told = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if Path(told.source).is_dir():
            of_bundles(Path(told.source), Path(scratch))
        else:
            of_run(told.source, told.overrides, told.window, Path(scratch))


def of_run(source: str, overrides: list[str], window: str, scratch: Path) -> None:
    config = load_config(source, overrides)
    prepared = RunFolder(Path(config.run.folder)).stage("prepare")
    histories = Histories.open(prepared / "histories")
    cut = np.load(prepared / "learned.npz")[window]
    texts = pq.read_table(prepared / "item_texts.parquet").sort_by("item")["text"].to_pylist()
    windows = json.loads((prepared / "windows.json").read_text())
    warehouse = open_warehouse(config.run.threads, config.data.memory_gb, scratch)
    earlier = counted_events(warehouse, histories, cut, scratch / "earlier.parquet")
    answers = rank(earlier, texts, config.graph, config.retrieval)
    if windows["split"] == "leave_last_out":
        asked = {"complement": of_next(histories, cut)}
    else:
        span = windows["windows"][window]
        every = counted_events(warehouse, histories, histories.offsets[1:], scratch / "later.parquet")
        later = every.filter((every.time >= span["from"]) & (every.time < span["until"]))
        asked = dict(of_groups(later, config.graph))
    for kind, questions in asked.items():
        report(f"{config.run.name}, {window} window, {kind}s", questions, answers(kind))
    as_source(config, prepared, warehouse, scratch)


def as_source(config: Config, prepared: Path, warehouse: Backend, scratch: Path) -> None:
    """Print how well the candidate source does with each measure in the place of its own count, run alone."""
    shop = Shop.open(prepared, config.evaluate.targets or config.prepare.targets)
    requests = Requests.read(prepared / "requests.parquet").of("validation", "fit")
    some = np.zeros(len(requests), dtype=bool)
    some[np.linspace(0, len(requests) - 1, min(QUESTIONS, len(requests)), dtype=np.int64)] = True
    requests = requests.where(some)
    cut = np.load(prepared / "learned.npz")["validation"]
    events = counted_events(warehouse, shop.histories, cut, scratch / "validation.parquet")
    # As many edges as the source keeps, so that only the weights differ.
    table = count_graph(events, replace(config.graph, neighbours=config.retrieval.neighbours))
    edges = {f"{kind} {name}": graph_edges(table, kind, name, shop.items) for kind in KINDS for name in MEASURES}
    edges = {"today": count_today(events, shop.items, config.retrieval)} | edges
    relevant = Relevant(requests.offsets, requests.items, requests.gains)
    scores = {}
    for name, own in edges.items():
        if not len(own.other):  # of a kind that this log cannot have
            continue
        source = AssociationSource(own, config.retrieval.associations_halflife)
        lists = np.full((len(requests), 100), NO_ITEM, dtype=np.int32)
        for rows, ask, allowed in blocks(shop, requests, None, filter_seen=config.evaluate.filter_seen, size=256):
            lists[rows], _ = source(ask, 100, allowed)
        found = find(lists, relevant)
        scores[name] = {f"ndcg@{K}": ndcg(found, K), "recall@100": recall(found, 100)}
    print(f"{config.run.name}, source associations alone, {len(requests):,} fit requests of the validation window")
    for name, own_scores in scores.items():
        line = f"  {name:<17}"
        for measure, values in own_scores.items():
            less = paired(values, scores["today"][measure], requests.user, **OPTIONS)
            line += f" {measure} {values.mean():.4f} ({less.value:+.4f}, {less.low:+.4f} to {less.high:+.4f})"
        print(line)


def of_bundles(folder: Path, scratch: Path) -> None:
    titles = pd.read_csv(folder / "item_titles.csv").set_index("item ID")["titles"]
    code = pd.Series(np.arange(len(titles)), index=titles.index)
    sessions = pd.read_csv(folder / "user_session.csv").sort_values(["timestamp", "session ID"])
    cut = sessions["session ID"].iloc[: round(0.8 * len(sessions))]
    had = pd.read_csv(folder / "session_item.csv").merge(sessions, on="session ID")
    had = had[had["item ID"].isin(code.index)].sort_values(["user ID", "timestamp", "session ID", "item ID"])
    before = had[had["session ID"].isin(cut)]
    log = Histories(
        offsets=np.concatenate([[0], np.cumsum(np.bincount(before["user ID"], minlength=had["user ID"].max() + 1))]),
        item=code[before["item ID"]].to_numpy(np.int32),
        action=np.full(len(before), ACTION_CODES["purchase"], np.uint8),
        time=before["timestamp"].to_numpy(np.int64) * MICROSECONDS,
        query=np.full(len(before), -1, np.int32),
        session=before["session ID"].to_numpy(np.int64),
    )
    earlier = counted_events(open_warehouse(1, 1.0), log, log.offsets[1:], scratch / "earlier.parquet")
    answers = rank(earlier, titles.tolist(), GraphConfig(), RetrievalConfig())
    made = pd.read_csv(folder / "session_bundle.csv").merge(pd.read_csv(folder / "bundle_item.csv"), on="bundle ID")
    made = made[~made["session ID"].isin(cut) & made["item ID"].isin(code.index)].merge(sessions, on="session ID")
    questions = as_questions(made["bundle ID"].to_numpy(), made["user ID"].to_numpy(), code[made["item ID"]].to_numpy())
    report(f"{folder.name}, bundles of later sessions", questions, answers("complement"))


def rank(events: ir.Table, texts: list[str], graph: GraphConfig, retrieval: RetrievalConfig):
    """Return a function: kind -> (items [n] -> lists [n, K]) by method."""
    items = len(texts)
    table = count_graph(events, graph)
    today = count_today(events, items, retrieval)
    actions = dict.fromkeys(("view", "purchase"), 1.0)
    popular = np.argsort(-count_popularity(events, items, actions, 0), kind="stable")[: K + 1]
    lexical = LexicalSource.build(texts)

    def by_text(asked: Lists) -> Lists:
        of = {int(item): lexical.neighbours(texts[item], K, without=int(item))[0] for item in np.unique(asked)}
        return padded(of[int(item)] for item in asked)

    def answers(kind: str) -> dict[str, Lists]:
        edges = {name: graph_edges(table, kind, name, items) for name in MEASURES} | {"today": today}
        return {name: lambda asked, own=own: of_edges(own, asked) for name, own in edges.items()} | {
            "text": by_text,
            "popularity": lambda asked: padded(popular[popular != item] for item in asked),
        }

    return answers


def count_today(events: ir.Table, items: int, retrieval: RetrievalConfig) -> Edges:
    return count_associations(
        events,
        items,
        reach=retrieval.associations_reach,
        days=retrieval.associations_days,
        forward=retrieval.associations_forward,
        neighbours=retrieval.neighbours,
    )


def of_edges(edges: Edges, asked: Lists) -> Lists:
    return padded(edges.other[edges.offsets[item] : edges.offsets[item + 1]] for item in asked)


def padded(lists: Iterator[NDArray[np.integer]]) -> Lists:
    rows = []
    for items in lists:
        row = np.full(K, NO_ITEM, dtype=np.int32)
        row[: min(K, len(items))] = items[:K]
        rows.append(row)
    return np.array(rows)


def of_groups(later: ir.Table, graph: GraphConfig) -> Iterator[tuple[str, Questions]]:
    members = group_items(later, period_days=graph.period_days, most=graph.group_items)
    table = members.order_by("kind", "group", "item").to_pandas()
    for code, kind in enumerate(KINDS):
        of = table[table["kind"] == code]
        # Both bought is no choice between the two: such a pair is no answer among substitutes.
        bought = of["bought"].to_numpy() if kind == "substitute" else np.zeros(len(of), dtype=bool)
        if len(of):
            yield kind, as_questions(of["group"].to_numpy(), of["user"].to_numpy(), of["item"].to_numpy(), bought)


def of_next(histories: Histories, cut: NDArray[np.int64]) -> Questions:
    there = (cut > histories.offsets[:-1]) & (cut < histories.offsets[1:])
    user, at = np.flatnonzero(there), cut[there]
    asks, chosen = np.asarray(histories.item[at - 1]), np.asarray(histories.item[at])
    fine = np.flatnonzero(asks != chosen)
    taken = fine[np.linspace(0, len(fine) - 1, min(QUESTIONS, len(fine)), dtype=np.int64)]
    ones = np.ones(len(taken), np.float32)
    return Questions(asks[taken], user[taken], Relevant(np.arange(len(taken) + 1), chosen[taken], ones))


def as_questions(
    group: NDArray[np.int64],
    user: NDArray[np.int64],
    item: NDArray[np.int64],
    bought: NDArray[np.bool_] | None = None,
) -> Questions:
    table = pd.DataFrame({"group": group, "user": user, "item": item, "bought": False if bought is None else bought})
    pairs = table.merge(table[["group", "item", "bought"]], on="group", suffixes=("", "_other"))
    pairs = pairs[(pairs["item"] != pairs["item_other"]) & ~(pairs["bought"] & pairs["bought_other"])]
    asked = pairs.groupby(["group", "item"], sort=True).agg(user=("user", "first"), others=("item_other", list))
    asked = asked.iloc[np.linspace(0, len(asked) - 1, min(QUESTIONS, len(asked)), dtype=np.int64)].reset_index()
    others = np.concatenate(asked["others"].to_list()).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(asked["others"].str.len())])
    relevant = Relevant(offsets, others, np.ones(len(others), np.float32))
    return Questions(asked["item"].to_numpy(np.int32), asked["user"].to_numpy(np.int64), relevant)


def report(title: str, questions: Questions, answers: Mapping[str, object]) -> None:
    """Print Recall@10 with intervals over users, and how many of the questions each method answers at all."""
    print(f"{title}: {len(questions.item):,} questions of {len(np.unique(questions.user)):,} users")
    lists = {name: answer(questions.item) for name, answer in answers.items()}
    found = {name: recall(find(listed, questions.relevant), K) for name, listed in lists.items()}
    for name, values in found.items():
        mean = bootstrap(values, questions.user, **OPTIONS)
        answered = float((lists[name][:, 0] != NO_ITEM).mean())
        line = f"  {name:<11} recall@{K} {mean.value:.4f} ({mean.low:.4f} to {mean.high:.4f}), answers {answered:.0%}"
        for other in ("text", "popularity"):
            if other != name:
                less = paired(values, found[other], questions.user, **OPTIONS)
                line += f"; - {other} {less.value:+.4f} ({less.low:+.4f} to {less.high:+.4f})"
        print(line)


if __name__ == "__main__":
    main()
