"""Is the promise kept on fresh users, and is what keeps it about the fastest there is?

    PYTHONPATH=. python benchmarks/retrieval/promise.py --items 100000 --dim 64 --out promise.json

For clustered and uniform vectors and every promise: recall on fresh queries, the choice beside the best point of a
finer sweep (four numbers of cells instead of three, reaches narrowed to 2%) and beside exact search, and beside
hand-written FAISS with the same parameters. A kind may also be the ``embed`` folder of a run: its items, and users of
its validation and test windows. Comparisons are timed in turn, medians of rounds.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import faiss
import numpy as np

from retrieval import families, promise
from retrieval.approximate import ApproximateSearch
from retrieval.catalogue import checked_items
from retrieval.device import Device
from retrieval.exact import ExactSearch
from retrieval.families import FAMILIES, Effort, build_all, structures
from retrieval.index import ItemIndex
from retrieval.recall import true_last
from retrieval.sweep import Asked, explore
from retrieval.timing import seconds_per_query

K = 100
FINER = (1, 2, 4, 8)
ROUNDS = 15


def clustered(count, dim, random, centres):
    near = centres[random.integers(0, len(centres), count)]
    return unit(near + random.normal(size=(count, dim)).astype(np.float32) * 0.9 / np.sqrt(dim))


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def draw(kind, items, dim, queries, seed):
    """Return items, queries and fresh queries, all unit length."""
    random = np.random.default_rng(seed)
    if Path(kind).is_dir():
        users = [np.load(Path(kind) / f"users_{window}.npy") for window in ("validation", "test")]
        few = [own[np.linspace(0, len(own) - 1, min(queries, len(own)), dtype=np.int64)] for own in users]
        return [np.load(Path(kind) / "item_vectors.npy"), *few]
    if kind == "uniform":
        return [unit(random.normal(size=(count, dim))) for count in (items, queries, queries)]
    centres = unit(random.normal(size=(max(8, items // 500), dim)))
    return [clustered(count, dim, random, centres) for count in (items, queries, queries)]


class ByHand:
    """What one writes with FAISS alone: the structure, refined by the raw vectors where more than k are fetched."""

    def __init__(self, index, flat, effort):
        self.refined = effort.factor > 1
        inner = families.search_parameters(index, effort.reach)
        if self.refined:
            self.index = faiss.IndexRefine(index, flat)
            self.parameters = faiss.IndexRefineSearchParameters(k_factor=effort.factor, base_index_params=inner)
        else:
            self.index, self.parameters = index, inner

    def search(self, vectors, k, _):
        return self.index.search(vectors, k, params=self.parameters)[::-1]


class HandOrdered(ByHand):
    """The same and then what an answer also needs: ids, scores that do not depend on the batch, ties by id."""

    def __init__(self, index, flat, effort, catalogue):
        super().__init__(index, flat, effort)
        self.catalogue = catalogue

    def search(self, vectors, k, _):
        rows, _ = super().search(vectors, k, None)
        near = self.catalogue.vectors[rows]
        scores = np.einsum("rkd,rd->rk", near, vectors, dtype=np.float64).astype(np.float32)
        scores[rows < 0] = -np.inf
        ids = self.catalogue.ids[rows]
        order = np.lexsort((ids, -scores), axis=-1)
        return np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order, axis=1)


def measure(kind, options):
    items, queries, fresh = draw(kind, options.items, options.dim, options.queries, options.seed)
    catalogue = checked_items(np.arange(len(items)), items)
    dim = items.shape[1]
    flat = faiss.IndexFlatIP(dim)
    flat.add(items)
    started = time.perf_counter()
    coarse, families._CELLS_PER_ROOT = families._CELLS_PER_ROOT, FINER
    finer = list(build_all(catalogue, list(structures(len(items), dim, options.families)), 0, Device(0)))
    print(f"{kind}: {len(finer)} structures built in {time.perf_counter() - started:.0f} s", flush=True)
    families._CELLS_PER_ROOT = coarse
    # All promises share these structures; what they choose from is what they would have built.
    known = {built.structure.factory: built for built in finer}
    promise.build_all = lambda _, wanted, *__: (known[structure.factory] for structure in wanted)
    asked = Asked(catalogue, queries, true_last(catalogue, queries, K), K, 0)
    exact = ExactSearch(catalogue, flat, len(items))
    for target in options.promises:
        started = time.perf_counter()
        index = ItemIndex.build(
            np.arange(len(items)),
            items,
            queries,
            fresh=fresh,
            target_recall=target,
            at_k=K,
            tune_for=options.tune_for,
            families=tuple(options.families),
            gpus=0,
        )
        facts = index.facts["promise"]
        found = {"kind": kind, "promise": target, "structure": facts["structure"], "why": facts["why"]}
        found["sweep_seconds"] = round(time.perf_counter() - started, 1)
        trials = [one for built in finer for one in explore(built, asked, target, near=1.02)]
        trials = [one for one in trials if one.recall.low >= target]
        searches = [ApproximateSearch(catalogue, one.built.index, one.effort, K) for one in trials]
        chosen = exact if index.exact else ApproximateSearch(catalogue, index.host, effort_of(facts), K)
        timed = seconds_per_query([exact, chosen, *searches], queries, K, options.tune_for, 5)
        first = np.argsort(timed[2:])[:6]
        again = [exact, chosen, *(searches[number] for number in first)]
        taken = seconds_per_query(again, queries, K, options.tune_for, ROUNDS)
        best = int(np.argmin(taken[2:])) if len(first) else None
        fastest = min(taken[0], *(taken[2:] or [taken[0]]))
        found |= {
            "exact_ms": 1e3 * taken[0],
            "chosen_ms": 1e3 * taken[1],
            "best_ms": 1e3 * fastest,
            "best": "Flat" if best is None or taken[0] <= fastest else trials[first[best]].built.structure.factory,
            "slower_than_best": taken[1] / fastest - 1,
            "speed_up": taken[0] / taken[1],
        }
        if not index.exact:
            found |= {"reach": facts["reach"], "factor": facts["factor"], "bytes": facts["bytes"]}
            found |= {"validation": facts["validation"], "fresh": facts["fresh"], "pushes": facts["pushes"]}
            found["overhead"] = overheads(index, flat, effort_of(facts), catalogue, queries)
        print(json.dumps(found), flush=True)
        yield found


def effort_of(facts):
    return Effort(facts["reach"], facts["factor"])


def overheads(index, flat, effort, catalogue, queries):
    """Return what ``ItemIndex.search`` takes more than FAISS by hand, as a share, alone and in batches."""
    hands = [ByHand(index.host, flat, effort), HandOrdered(index.host, flat, effort, catalogue)]
    told = {}
    for tune_for in ("latency", "throughput"):
        ours, alone, ordered = seconds_per_query([index, *hands], queries, K, tune_for, ROUNDS)
        told[tune_for] = {
            "ms": 1e3 * ours,
            "over_faiss_alone": ours / alone - 1,
            "over_faiss_and_order": ours / ordered - 1,
        }
    return told


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--kinds", nargs="+", default=["clustered", "uniform"])
    parser.add_argument("--promises", nargs="+", type=float, default=[0.9, 0.95, 0.99])
    parser.add_argument("--families", nargs="+", default=list(FAMILIES))
    parser.add_argument("--tune-for", default="latency", choices=promise.TUNE_FOR)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = [one for kind in options.kinds for one in measure(kind, options)]
    if options.out:
        setting = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
        told = {"options": setting, "faiss": faiss.__version__, "threads": faiss.omp_get_max_threads()}
        options.out.write_text(json.dumps({**told, "found": found}, indent=1))


if __name__ == "__main__":
    main()
