"""An index to a promise: of all structures that surely keep a recall, within a memory, the fastest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from retrieval.approximate import ApproximateSearch
from retrieval.catalogue import Catalogue
from retrieval.device import Device
from retrieval.exact import ExactSearch
from retrieval.families import FAMILIES, Effort, build_all, set_effort, structures
from retrieval.filtered import measure_filters
from retrieval.recall import BOUND, LEAST_QUERIES, Recall, Search, measure, true_last
from retrieval.sweep import Asked, Trial, explore
from retrieval.timing import seconds_per_query

TUNE_FOR = ("latency", "throughput")
_FINALISTS = 6
_FINAL_ROUNDS = 15
"""The fastest of many timings are timed again."""


@dataclass(frozen=True)
class Promise:
    """What an index has to keep."""

    target_recall: float = 0.95
    """Of the lower bound of mean recall; 1 is exact search."""
    at_k: int = 100
    """Length of the lists that it holds for."""
    budget_bytes: int | None = None
    """Of FAISS's structure in memory. The raw vectors that answers are scored again from are memory-mapped from disk
    and count only where exact search, or an uncompressed structure, holds them itself."""
    tune_for: str = "latency"
    """``latency``: one query at a time on one thread; ``throughput``: batches on all threads."""
    exact_below_ms: float = 0.0
    """Exact search it is where that answers one query within so many milliseconds on one thread."""
    families: tuple[str, ...] = FAMILIES
    """That are tried, of ``FAMILIES``."""
    seed: int = 0
    """Of k-means, the bootstrap and the filters that are tried."""

    def __post_init__(self) -> None:
        if not 0 < self.target_recall <= 1:
            raise InputError(f"a recall of {self.target_recall:g} cannot be promised; give one above 0, 1 being exact")
        if self.at_k < 1:
            raise InputError(f"the promise must be for lists of at least 1, got at_k={self.at_k}")
        if self.tune_for not in TUNE_FOR:
            raise InputError(f"an index is tuned for {' or '.join(TUNE_FOR)}, got {self.tune_for!r}")
        unknown = [family for family in self.families if family not in FAMILIES]
        if unknown:
            raise InputError(f"no family of indexes is called {unknown[0]!r}; there are {', '.join(FAMILIES)}")


@dataclass(frozen=True)
class Chosen:
    """What was chosen; ``index`` is None for exact search."""

    index: Any
    effort: Effort | None
    facts: dict[str, Any]
    """For ``index.json``: the promise, why this, recalls with bounds, front, timings, bytes."""


def choose(
    catalogue: Catalogue,
    flat: faiss.IndexFlat,
    promise: Promise,
    queries: NDArray[np.float32],
    fresh: NDArray[np.float32] | None,
    device: Device,
) -> Chosen:
    """Build, measure and choose.

    Args:
        catalogue: without tombstones.
        flat: the same vectors, for exact search.
        promise: to keep.
        queries: ``[queries, dim]``, users like those to come: chosen by these.
        fresh: others, on which the recall of the choice is measured again; None leaves that out.
        device: where structures are built.

    Raises:
        InputError: where nothing keeps the promise within the budget.
    """
    exact = ExactSearch(catalogue, flat, len(catalogue))
    k, raw = promise.at_k, catalogue.vectors.nbytes
    exact_fits = promise.budget_bytes is None or raw <= promise.budget_bytes
    facts: dict[str, Any] = {**asdict(promise), "families": list(promise.families), "bound": BOUND}
    if promise.target_recall >= 1.0:
        _refuse_beyond(promise, raw, exact_fits)
        return _exact(facts, "the promise is exact search")
    if len(queries) < LEAST_QUERIES:
        _refuse_beyond(promise, raw, exact_fits)
        return _exact(facts, f"{len(queries):,} queries are too few to measure a recall by, {LEAST_QUERIES} are needed")
    alone = seconds_per_query([exact], queries, k, "latency")[0]
    facts["exact"] = {"bytes": raw, "latency_ms": _ms(alone)}
    if exact_fits and 1e3 * alone <= promise.exact_below_ms:
        why = f"exact search takes {1e3 * alone:.2f} ms a query, within the {promise.exact_below_ms:g} ms that are set"
        return _exact(facts, why)

    asked = Asked(catalogue, queries, true_last(catalogue, queries, k), k, promise.seed)
    affordable = [
        structure
        for structure in structures(len(catalogue), catalogue.dim, promise.families)
        if promise.budget_bytes is None or structure.estimate <= 1.1 * promise.budget_bytes
    ]
    trials = [
        trial
        for built in build_all(catalogue, affordable, promise.seed, device)
        if promise.budget_bytes is None or built.bytes <= promise.budget_bytes
        for trial in explore(built, asked, promise.target_recall)
    ]
    searches: list[Search] = [exact, *(_search(catalogue, trial, k) for trial in trials)]
    seconds = seconds_per_query(searches, queries, k, promise.tune_for)
    facts["front"] = _front(trials, seconds, raw, exact_fits)
    best = _fastest(catalogue, exact, trials, seconds, asked, promise, exact_fits)
    if best is None:
        _refuse_beyond(promise, raw, exact_fits, trials)
        return _exact(facts, "no structure that keeps the promise is faster than exact search")
    return _settled(catalogue, exact, best, promise, asked, fresh, facts)


def _settled(
    catalogue: Catalogue,
    exact: Search,
    best: Trial,
    promise: Promise,
    asked: Asked,
    fresh: NDArray[np.float32] | None,
    facts: dict[str, Any],
) -> Chosen:
    """Measure all that is told of the choice, on the very index that ships."""
    k, effort, built = promise.at_k, best.effort, best.built
    set_effort(built.index, effort)
    filters, pushes = measure_filters(catalogue, built.index, effort, asked.queries, promise)
    search = ApproximateSearch(catalogue, built.index, effort, k, pushes)
    alone = seconds_per_query([exact, search], asked.queries, k, "latency")
    together = seconds_per_query([exact, search], asked.queries, k, "throughput")
    facts["exact"] |= {"latency_ms": _ms(alone[0]), "queries_per_second": round(1 / together[0])}
    facts["validation"] = asdict(best.recall)
    facts["fresh"] = None
    if fresh is not None and len(fresh) >= LEAST_QUERIES:
        facts["fresh"] = asdict(measure(search, catalogue, fresh, k, promise.seed))
    facts |= {
        "structure": built.structure.factory,
        "family": built.structure.family,
        **asdict(effort),
        "pushes": pushes,
        "filters": filters,
        "bytes": built.bytes,
        "build_seconds": round(built.seconds, 2),
        "latency_ms": _ms(alone[1]),
        "queries_per_second": round(1 / together[1]),
        "threads": faiss.omp_get_max_threads(),
        "why": f"the fastest of {len(facts['front'])} on the front that surely keeps the promise",
    }
    return Chosen(built.index, effort, facts)


def _fastest(
    catalogue: Catalogue,
    exact: Search,
    trials: Sequence[Trial],
    seconds: Sequence[float],
    asked: Asked,
    promise: Promise,
    exact_fits: bool,
) -> Trial | None:
    """Return the fastest trial that keeps the promise when it is searched as it will be; None for exact search.

    The best of many timings is partly the luckiest, so the first few are timed again, and longer.
    """
    keeping = [number for number, trial in enumerate(trials) if trial.recall.low >= promise.target_recall]
    keeping.sort(key=lambda number: seconds[1 + number])
    while keeping:
        finalists, keeping = keeping[:_FINALISTS], keeping[_FINALISTS:]
        searches = [_search(catalogue, trials[number], promise.at_k) for number in finalists]
        again = seconds_per_query([exact, *searches], asked.queries, promise.at_k, promise.tune_for, _FINAL_ROUNDS)
        for taken, number in sorted(zip(again[1:], finalists, strict=True)):
            if taken >= again[0] and exact_fits:
                return None
            trial = trials[number]
            recall = measure(
                _search(catalogue, trial, promise.at_k), catalogue, asked.queries, promise.at_k, promise.seed
            )
            if recall.low >= promise.target_recall:
                return replace(trial, recall=recall)
    return None


def _search(catalogue: Catalogue, trial: Trial, at_k: int) -> ApproximateSearch:
    return ApproximateSearch(catalogue, trial.built.index, trial.effort, at_k)


def _exact(facts: dict[str, Any], why: str) -> Chosen:
    return Chosen(None, None, {**facts, "family": "flat", "structure": "Flat", "why": why})


def _refuse_beyond(promise: Promise, raw: int, fits: bool, trials: Sequence[Trial] = ()) -> None:
    """Raise InputError where exact search is the only way left and does not fit into the budget."""
    if fits:
        return
    assert promise.budget_bytes is not None
    nearest = max(trials, key=lambda trial: trial.recall.low, default=None)
    found = (
        "nothing else fits"
        if nearest is None
        else (
            f"the nearest that fits, {nearest.built.structure.factory}, has {nearest.recall.mean:.4f} "
            f"(at least {nearest.recall.low:.4f})"
        )
    )
    raise InputError(
        f"no index of {promise.budget_bytes:,} bytes keeps a recall@{promise.at_k} of {promise.target_recall:g}: exact "
        f"search takes {raw:,} bytes, and {found}; raise the budget or lower the recall"
    )


def _front(trials: Sequence[Trial], seconds: Sequence[float], raw: int, exact_fits: bool) -> list[dict[str, Any]]:
    """Return what no other beats in recall, speed, bytes and build time together, fastest first."""
    points = [_point(trial, taken) for trial, taken in zip(trials, seconds[1:], strict=True)]
    if exact_fits:
        points.append(
            {"family": "flat", "structure": "Flat", "reach": 0, "factor": 1.0, "recall": 1.0, "low": 1.0}
            | {"queries_per_second": round(1 / seconds[0], 1), "bytes": raw, "build_seconds": 0.0}
        )
    goods = np.array(
        [[one["recall"], one["queries_per_second"], -one["bytes"], -one["build_seconds"]] for one in points]
    )
    beaten = [bool(((goods >= good).all(axis=1) & (goods > good).any(axis=1)).any()) for good in goods]
    front = [point for point, worse in zip(points, beaten, strict=True) if not worse]
    return sorted(front, key=lambda point: -point["queries_per_second"])


def _point(trial: Trial, taken: float) -> dict[str, Any]:
    built = trial.built
    return {
        "family": built.structure.family,
        "structure": built.structure.factory,
        **asdict(trial.effort),
        "recall": round(trial.recall.mean, 5),
        "low": round(trial.recall.low, 5),
        "queries_per_second": round(1 / taken, 1),
        "bytes": built.bytes,
        "build_seconds": round(built.seconds, 2),
    }


def _ms(seconds: float) -> float:
    return round(1e3 * seconds, 4)


def said(facts: dict[str, Any]) -> str:
    """Return the choice in a line."""
    if facts["family"] == "flat":
        return f"exact: {facts['why']}"
    recall, fresh = Recall(**facts["validation"]), facts["fresh"]
    again = f", {fresh['mean']:.4f} (at least {fresh['low']:.4f}) on fresh ones" if fresh else ""
    return (
        f"{facts['structure']} at reach {facts['reach']}, {facts['factor']:g} fetched for one: recall@{facts['at_k']} "
        f"{recall.mean:.4f} (at least {recall.low:.4f}) on {recall.queries:,} queries{again}, for a promise of "
        f"{facts['target_recall']:g}; {facts['latency_ms']:.3f} ms a query, exact {facts['exact']['latency_ms']:.3f} "
        f"ms; {facts['bytes'] / 1e6:,.1f} MB"
    )
