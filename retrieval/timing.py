"""How long searches take: rounds that go from one search to the next, so that a busy moment hits them all alike."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import faiss
import numpy as np
from numpy.typing import NDArray

from retrieval.recall import Search

BATCH = 256
"""Queries answered together where throughput counts."""
_SINGLE = 24
"""Queries that a round asks one after the other, where latency counts."""


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let FAISS use ``count`` threads for a while; 0 leaves it as it is."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count or before)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def seconds_per_query(
    searches: Sequence[Search], queries: NDArray[np.float32], k: int, tune_for: str, rounds: int = 5
) -> list[float]:
    """Return the median over rounds of what each search takes for a query, the answer's making included.

    One thread is timed by its own clock, which stands while others have the processor: on an idle machine the two
    are the same, and on a busy one comparisons stay fair. Batches are timed by the clock on the wall.

    Args:
        searches: timed in turn, in every round anew and on other queries.
        queries: ``[queries, dim]``.
        k: length of the lists.
        tune_for: ``latency`` asks one query at a time on one thread; ``throughput`` batches of 256 on all threads.
        rounds: after one that warms up.
    """
    single = tune_for == "latency"
    block = min(len(queries), _SINGLE if single else BATCH)
    taken = np.empty((rounds + 1, len(searches)))
    clock = time.thread_time if single else time.perf_counter
    with threads(1 if single else 0):
        for round_ in range(rounds + 1):
            asked = np.take(queries, np.arange(block) + round_ * block, axis=0, mode="wrap")
            # In another order every time: who comes after a scan of all items finds the caches full of them.
            for number in np.random.default_rng(round_).permutation(len(searches)):
                search = searches[number]
                if single:
                    search.search(asked[:1], k, None)
                started = clock()
                if single:
                    for row in range(block):
                        search.search(asked[row : row + 1], k, None)
                else:
                    search.search(asked, k, None)
                taken[round_, number] = (clock() - started) / block
    return [float(value) for value in np.median(taken[1:], axis=0)]
