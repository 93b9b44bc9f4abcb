"""The sweep: how far each structure has to look to keep the promise, found by doubling and then halving.

Recall needs no search for each factor: as candidates are scored again, the list of k made of the first f * k neighbours
holds every true item among them. So one search for the longest list tells the recall of all shorter ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.catalogue import Catalogue
from retrieval.families import Built, Effort, search_parameters
from retrieval.recall import Recall, lower_bound, recalls_of

_NEAR = 1.06
"""Halving ends where the reach that fails and the one that does are this close."""
_NOTHING = 1e-3
"""Recall that doubling the reach has to add, or it is doubled no more: what is missing is lost in compression."""
_BLOCK = 256


@dataclass(frozen=True)
class Asked:
    """Queries with their truth."""

    catalogue: Catalogue
    queries: NDArray[np.float32]
    """``[queries, dim]``."""
    last: NDArray[np.float32]
    """``[queries]``: of ``recall.true_last``."""
    at_k: int
    """Length of the lists."""
    seed: int


@dataclass(frozen=True)
class Trial:
    """A structure at one effort."""

    built: Built
    effort: Effort
    recall: Recall


def explore(built: Built, asked: Asked, target: float, near: float = _NEAR) -> list[Trial]:
    """Return trials of one structure: a ladder of reaches, and the least efforts whose lower bound keeps ``target``.

    Args:
        built: the structure.
        asked: on what recall is measured.
        target: of the lower bound.
        near: ratio of the reaches between which the least one is looked for no further.
    """
    seen: dict[int, list[Recall]] = {}
    factors = built.structure.factors

    def keeps(reach: int, factor: int) -> bool:
        if reach not in seen:
            seen[reach] = _look(built, asked, reach)
        return seen[reach][factor].low >= target

    first, last = built.structure.first_reach(asked.at_k), built.structure.last_reach(asked.at_k)
    ladder = [first]
    while ladder[-1] < last and not all(keeps(ladder[-1], factor) for factor in range(len(factors))):
        if len(ladder) > 1 and _gained(seen[ladder[-2]], seen[ladder[-1]]) < _NOTHING:
            break
        ladder.append(min(2 * ladder[-1], last))
    found: set[tuple[int, int]] = set()
    for factor in range(len(factors)):
        done = next((reach for reach in ladder if keeps(reach, factor)), None)
        if done is None:
            continue
        fails = max((reach for reach in ladder if reach < done), default=done)
        while done > near * fails and done - fails > 1:
            middle = (done + fails) // 2
            done, fails = (middle, fails) if keeps(middle, factor) else (done, middle)
        found.add((done, factor))
    least = [one for one in found if not any(other != one and _no_more(other, one) for other in found)]
    rungs = [(reach, _shown(seen[reach], target)) for reach in ladder if reach in seen]
    return [
        Trial(built, Effort(reach, factors[factor]), seen[reach][factor]) for reach, factor in sorted({*least, *rungs})
    ]


def _look(built: Built, asked: Asked, reach: int) -> list[Recall]:
    """Return the recall at one reach for every factor."""
    efforts = [Effort(reach, factor) for factor in built.structure.factors]
    k = min(asked.at_k, len(asked.catalogue))
    fetch = [min(effort.fetch(asked.at_k), len(asked.catalogue)) for effort in efforts]
    recalls = np.empty((len(efforts), len(asked.queries)))
    parameters = search_parameters(built.index, reach)
    for part in _parts(len(asked.queries)):
        queries = asked.queries[part]
        _, place = built.index.search(queries, fetch[-1], params=parameters)
        scores = asked.catalogue.rough_scores(queries, place)
        for number, count in enumerate(fetch):
            recalls[number, part] = recalls_of(scores[:, :count], asked.last[part], k)
    return [lower_bound(row, asked.seed) for row in recalls]


def _gained(before: list[Recall], after: list[Recall]) -> float:
    return max(new.mean - old.mean for old, new in zip(before, after, strict=True))


def _parts(queries: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, queries, _BLOCK))


def _no_more(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[0] and one[1] <= other[1]


def _shown(recalls: list[Recall], target: float) -> int:
    """Return which factor of a rung the front shows: the least that keeps the target, else the largest."""
    return next((number for number, recall in enumerate(recalls) if recall.low >= target), len(recalls) - 1)
