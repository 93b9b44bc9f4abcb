"""The index that a promise chooses beside hnswlib, usearch and autofaiss, each at the recall that was promised.

    python3 -m venv .venv-peers
    .venv-peers/bin/pip install -r benchmarks/retrieval/requirements-peers.txt numpy
    .venv-peers/bin/pip install --no-deps autofaiss==2.18.0
    OMP_NUM_THREADS=1 PYTHONPATH=. .venv-peers/bin/python benchmarks/retrieval/peers.py --items 100000 --dim 64

Items around centres, as in promise.py. hnswlib and usearch get the parameters that FAISS's HNSW has here (32 links, 80
in view while building), autofaiss builds what it would for these vectors. How far each searches is narrowed down on the
queries that choose ours, until mean recall@100 keeps the promise; recall and time are told of fresh queries. One
thread, one query at a time, by the thread's own clock, in turn, medians of rounds.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import autofaiss
import faiss
import hnswlib
import numpy as np
from promise import draw
from usearch.index import Index

from retrieval.catalogue import checked_items
from retrieval.index import ItemIndex
from retrieval.recall import true_last
from retrieval.timing import seconds_per_query

K = 100
LINKS, IN_VIEW = 32, 80
ROUNDS = 25


class Hnswlib:
    """hnswlib's graph."""

    reaches = range(K, 4096)

    def __init__(self, items):
        self.index = hnswlib.Index(space="ip", dim=items.shape[1])
        self.index.init_index(max_elements=len(items), ef_construction=IN_VIEW, M=LINKS, random_seed=0)
        self.index.set_num_threads(1)
        self.index.add_items(items, np.arange(len(items)))

    def reach(self, ef):
        self.index.set_ef(ef)

    def rows(self, vectors):
        return self.index.knn_query(vectors, k=K)[0]


class Usearch:
    """usearch's graph."""

    reaches = range(K, 4096)

    def __init__(self, items):
        self.index = Index(ndim=items.shape[1], metric="ip", dtype="f32", connectivity=LINKS, expansion_add=IN_VIEW)
        self.index.add(np.arange(len(items)), items, threads=1)

    def reach(self, ef):
        self.index.expansion_search = ef

    def rows(self, vectors):
        found = self.index.search(vectors, K, threads=1)
        return found.keys.astype(np.int64).reshape(len(vectors), -1)


class Autofaiss:
    """What autofaiss builds, at as many cells or nodes as keep the promise."""

    reaches = range(1, 4096)

    def __init__(self, items):
        # Saved to disk it stops: it tells its figures in JSON, as numbers of NumPy 1.
        self.index, _ = autofaiss.build_index(items, save_on_disk=False, metric_type="ip", nb_cores=1, verbose=40)
        self.cells = faiss.try_extract_index_ivf(self.index)

    def reach(self, reach):
        if self.cells is not None:
            self.cells.nprobe = min(reach, self.cells.nlist)
        else:
            faiss.ParameterSpace().set_index_parameter(self.index, "efSearch", max(reach, K))

    def rows(self, vectors):
        return self.index.search(vectors, K)[1]


class Timed:
    """As ``seconds_per_query`` asks."""

    def __init__(self, peer):
        self.peer = peer

    def search(self, vectors, k, _):
        return self.peer.rows(vectors)


def recall_of(rows, queries, items, last):
    scores = np.einsum("rkd,rd->rk", items[np.maximum(rows, 0)], queries)
    return float(((scores >= last[:, None]) & (rows >= 0)).sum(axis=1).mean() / K)


def narrowed(peer, queries, items, last, target):
    """Set and return the least reach that keeps the target; None where none does."""
    low, high = peer.reaches[0], peer.reaches[0]
    while True:
        peer.reach(high)
        if recall_of(peer.rows(queries), queries, items, last) >= target:
            break
        if high >= peer.reaches[-1]:
            return None
        low, high = high, min(2 * high, peer.reaches[-1])
    while high - low > max(1, high // 50):
        middle = (low + high) // 2
        peer.reach(middle)
        if recall_of(peer.rows(queries), queries, items, last) >= target:
            high = middle
        else:
            low = middle
    peer.reach(high)
    return high


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--promise", type=float, default=0.95)
    parser.add_argument("--kind", default="clustered", choices=["clustered", "uniform"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    items, queries, fresh = draw(options.kind, options.items, options.dim, options.queries, options.seed)
    catalogue = checked_items(np.arange(len(items)), items)
    last, fresh_last = true_last(catalogue, queries, K), true_last(catalogue, fresh, K)
    started = time.perf_counter()
    ours = ItemIndex.build(np.arange(len(items)), items, queries, target_recall=options.promise, at_k=K, gpus=0)
    told = [{"index": f"Mercato: {ours.facts['promise']['structure']}", "build_s": time.perf_counter() - started}]
    told[0]["reach"] = ours.facts["promise"].get("reach")
    told[0]["recall"] = recall_of(ours.search(fresh, K)[0], fresh, items, fresh_last)
    searches = [ours]
    for name, kind in (("hnswlib", Hnswlib), ("usearch", Usearch), ("autofaiss", Autofaiss)):
        started = time.perf_counter()
        peer = kind(items)
        row = {"index": name, "build_s": time.perf_counter() - started}
        row["reach"] = narrowed(peer, queries, items, last, options.promise)
        row["recall"] = recall_of(peer.rows(fresh), fresh, items, fresh_last)
        told.append(row)
        searches.append(Timed(peer))
        print(json.dumps(row), flush=True)
    taken = seconds_per_query(searches, fresh, K, "latency", ROUNDS)
    for row, seconds in zip(told, taken, strict=True):
        row |= {"ms": 1e3 * seconds, "times_ours": seconds / taken[0]}
        print(
            f"| {row['index']} | {row['reach']} | {row['recall']:.4f} | {row['ms']:.3f} | {row['times_ours']:.2f} | "
            f"{row['build_s']:.0f} |"
        )
    if options.out:
        options.out.write_text(json.dumps({"options": vars(options) | {"out": None}, "found": told}, indent=1))


if __name__ == "__main__":
    main()
