"""Speed of commerce.metrics beside torchmetrics, ranx and RecTools, on the same lists, in one interleaved run.

    python benchmarks/evaluation/compare.py --rounds 3

Every peer gets its own input format ready made; only the measuring is timed. All compute the same measures at 10 and
100, and their values are compared, so that nobody is fast by being wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from commerce.metrics import Relevant, average_precision, find, hit_rate, mrr, ndcg, precision, recall
from commerce.ranked_lists import rank_scores

AT = (10, 100)
Values = dict[str, float]


def main() -> None:
    """Run and print a JSON of medians and ratios."""
    told = arguments()
    random = np.random.default_rng(told.seed)
    users = random.standard_normal((told.requests, 64)).astype(np.float32)
    items = random.standard_normal((told.items, 64)).astype(np.float32)
    # Relevant items drawn near their user, so that lists find some.
    relevant = np.argmax(users @ items.T + 12.0 * random.gumbel(size=(1, told.items)).astype(np.float32), axis=1)
    chosen = relevant_of(relevant.astype(np.int32))

    report: dict[str, Any] = {"told": vars(told), "hardware": hardware(), "seconds": {}, "ratio": {}}
    started = time.perf_counter()
    ranked = full_ranking(users, items)
    values = ours(ranked, chosen)
    report["full ranking and all measures"] = round(time.perf_counter() - started, 3)

    systems: dict[str, Callable[[], Values]] = {"mercato": lambda: ours(ranked, chosen)}
    for name, make in PEERS.items():
        if name in told.peers:
            systems[f"{name} {version(name)}"] = make(ranked, relevant)
    spent: dict[str, list[float]] = {name: [] for name in systems}
    for number in range(told.rounds + 1):
        for name, measure in systems.items():
            started = time.perf_counter()
            found = measure()
            if number:  # the first round warms up, and compiles
                spent[name].append(time.perf_counter() - started)
            for key, value in found.items():
                assert abs(value - values[key]) < 1e-6, (name, key, value, values[key])
    for name, seconds in spent.items():
        report["seconds"][name] = round(statistics.median(seconds), 4)
        each = [peer / own for peer, own in zip(seconds, spent["mercato"], strict=True)]
        report["ratio"][name] = round(statistics.median(each), 1)
    report[f"{told.many:,} requests x 100, all measures"] = many(told.many, told.items, random)
    print(json.dumps(report, indent=1))


def full_ranking(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return the best hundred items of every request, block by block."""
    columns = np.ascontiguousarray(items.T)
    size = 8_000_000 // len(items)
    return np.concatenate([rank_scores(users[at : at + size] @ columns, 100)[0] for at in range(0, len(users), size)])


def ours(ranked: np.ndarray, relevant: Relevant) -> Values:
    """Measure with commerce.metrics."""
    found = find(ranked, relevant)
    measures = {"recall": recall, "precision": precision, "hit_rate": hit_rate, "mrr": mrr, "map": average_precision}
    return {f"{name}@{k}": measure(found, k).mean() for name, measure in {**measures, "ndcg": ndcg}.items() for k in AT}


def many(requests: int, items: int, random: np.random.Generator) -> float:
    """Return the seconds that all measures of a million lists take."""
    ranked = random.integers(0, items, (requests, 100), dtype=np.int32)
    relevant = relevant_of(random.integers(0, items, requests, dtype=np.int32))
    started = time.perf_counter()
    ours(ranked, relevant)
    return round(time.perf_counter() - started, 3)


def relevant_of(items: np.ndarray) -> Relevant:
    """Return one relevant item per request."""
    return Relevant(np.arange(len(items) + 1), items, np.ones(len(items), np.float32))


def with_torchmetrics(ranked: np.ndarray, relevant: np.ndarray) -> Callable[[], Values]:
    """Measure with torchmetrics' retrieval metrics; the relevant item is put last where the list lacks it."""
    import torch
    from torchmetrics import retrieval as own

    lists = np.column_stack([ranked, np.where((ranked == relevant[:, None]).any(axis=1), -1, relevant)])
    scores = torch.arange(lists.shape[1], 0, -1, dtype=torch.float32).repeat(len(lists))
    hits = torch.from_numpy((lists == relevant[:, None]).ravel())
    rows = torch.arange(len(lists)).repeat_interleave(lists.shape[1])
    kinds = {
        "recall": own.RetrievalRecall,
        "precision": own.RetrievalPrecision,
        "hit_rate": own.RetrievalHitRate,
        "mrr": own.RetrievalMRR,
        "map": own.RetrievalMAP,
        "ndcg": own.RetrievalNormalizedDCG,
    }

    def measure() -> Values:
        found = {}
        for name, kind in kinds.items():
            for k in AT:
                metric = kind(top_k=k)
                metric.update(scores, hits, rows)
                found[f"{name}@{k}"] = float(metric.compute())
        return found

    return measure


def with_ranx(ranked: np.ndarray, relevant: np.ndarray) -> Callable[[], Values]:
    """Measure with ranx, compiled by numba and in parallel."""
    from ranx import Qrels, Run, evaluate

    judged = Qrels({str(row): {str(item): 1} for row, item in enumerate(relevant)})
    scores = np.linspace(1.0, 0.1, ranked.shape[1]).tolist()
    run = Run({str(row): dict(zip(map(str, items), scores, strict=True)) for row, items in enumerate(ranked.tolist())})
    names = [f"{name}@{k}" for name in ("recall", "precision", "hit_rate", "mrr", "map", "ndcg") for k in AT]
    return lambda: {name: float(value) for name, value in evaluate(judged, run, names).items()}


def with_rectools(ranked: np.ndarray, relevant: np.ndarray) -> Callable[[], Values]:
    """Measure with RecTools' fast metrics."""
    import pandas as pd
    from rectools import Columns
    from rectools import metrics as own

    depth = ranked.shape[1]
    reco = pd.DataFrame(
        {
            Columns.User: np.repeat(np.arange(len(ranked)), depth),
            Columns.Item: ranked.ravel(),
            Columns.Rank: np.tile(np.arange(1, depth + 1), len(ranked)),
        }
    )
    told = pd.DataFrame({Columns.User: np.arange(len(relevant)), Columns.Item: relevant})
    kinds: dict[str, Any] = {
        "recall": own.Recall,
        "precision": own.Precision,
        "hit_rate": own.HitRate,
        "mrr": own.MRR,
        "map": own.MAP,
        "ndcg": own.NDCG,
    }
    # Its NDCG divides by the ideal of k relevant items unless told otherwise.
    made = {
        f"{name}@{k}": kind(k=k, divide_by_achievable=True) if name == "ndcg" else kind(k=k)
        for name, kind in kinds.items()
        for k in AT
    }

    def measure() -> Values:
        found = own.calc_metrics(made, reco=reco, interactions=told)
        return {name: float(value) for name, value in found.items()}

    return measure


PEERS = {"torchmetrics": with_torchmetrics, "ranx": with_ranx, "rectools": with_rectools}


def hardware() -> str:
    """Return the processor and the versions that decide speed."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    name = models[0] if models else platform.processor()
    return f"{name}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}, NumPy {np.__version__}"


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=22_363)
    parser.add_argument("--items", type=int, default=12_101)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
