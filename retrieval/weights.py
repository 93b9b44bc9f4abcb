"""How much each source says in the blend, learned from what users chose.

The blend has a handful of numbers: a weight a source and the rank constant. They are searched one at a time for the
best NDCG@10 on requests whose answers are known. The search begins from equal weights and from each source
alone, so what it returns is, on those requests, not below the best of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from commerce.metrics import Relevant, find, ndcg
from commerce.ranked_lists import rank_scores
from retrieval.blending import join_lists, reciprocal_ranks

CUT = 10
"""Blends are compared by NDCG at this place."""
FILLS_UP = 1e-4
"""Weight of a source whose items only follow those of the others."""
WEIGHTS = (FILLS_UP, 0.03, 0.07, 0.12, 0.2, 0.3, 0.45, 0.65, 0.85, 1.0, 1.3, 1.8, 2.5, 4.0)
RANK_CONSTANTS = (3.0, 10.0, 25.0, 60.0, 150.0)
_ROUNDS = 3
"""Times through all sources; a round that changes nothing ends the search."""


@dataclass(frozen=True)
class Blend:
    """Say of each source and the rank constant of reciprocal rank fusion, with how well they did."""

    weights: dict[str, float]
    """The largest is 1."""
    rank_constant: float
    requests: int
    """Requests on which they were learned; 0 where nothing was."""
    ndcg: dict[str, float]
    """NDCG@10 on those requests: ``blend``, ``equal`` (weights of 1, the rank constant given) and each source alone."""

    @classmethod
    def equal(cls, sources: Sequence[str], rank_constant: float) -> Blend:
        """Return the blend in which every source weighs 1."""
        return cls(dict.fromkeys(sources, 1.0), rank_constant, 0, {})


def learn_blend(lists: Mapping[str, NDArray[np.int32]], relevant: Relevant, rank_constant: float) -> Blend:
    """Search weights and rank constant.

    Args:
        lists: each source's items, ``[requests, per_source]``, best first, ``NO_ITEM`` padded.
        relevant: of the same requests, at least one each.
        rank_constant: of the equal blend that the search begins from and is compared with.
    """
    names = list(lists)
    if not len(relevant):
        return Blend.equal(names, rank_constant)
    trial = _Trial(list(lists.values()), relevant)
    one, equal = np.eye(len(names)), np.ones(len(names))
    alone = [trial.score(weights, rank_constant) for weights in one]
    one = np.maximum(one, FILLS_UP)
    compared = {"equal": trial.score(equal, rank_constant), **dict(zip(names, alone, strict=True))}
    starts = [(weights, constant) for weights, constant in product([equal, *one], RANK_CONSTANTS)]
    starts.append((equal, rank_constant))
    scored = [(trial.score(*start), start) for start in starts]
    # Climb from the best mixture and from the best single source.
    best = max(
        (trial.climb(max(chosen, key=lambda pair: pair[0])[1]) for chosen in (scored, scored[: len(RANK_CONSTANTS)])),
        key=lambda climbed: climbed[0],
    )
    weights = best[1] / best[1].max()
    return Blend(
        {name: round(float(weight), 6) for name, weight in zip(names, weights, strict=True)},
        best[2],
        len(relevant),
        {name: round(value, 5) for name, value in {"blend": best[0], **compared}.items()},
    )


class _Trial:
    """Lists laid side by side, so that one blend after another can be tried."""

    def __init__(self, lists: list[NDArray[np.int32]], relevant: Relevant) -> None:
        joined = join_lists(lists)
        self._requests = len(relevant)
        # Requests without a relevant item in any list score 0 under every blend.
        key = int(joined.items.max(initial=0)) + int(relevant.items.max(initial=0)) + 1
        wanted = np.isin(joined.rows * key + joined.items, relevant.rows * key + relevant.items)
        reached = np.zeros(self._requests, dtype=bool)
        reached[joined.rows[wanted]] = True
        self._relevant = relevant.of(reached)
        kept = reached[joined.rows]
        row = (np.cumsum(reached) - 1)[joined.rows[kept]]
        counts = np.bincount(row, minlength=int(reached.sum()))
        column = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        shape = (len(counts), max(int(counts.max(initial=0)), 1))
        # Columns of a row go by item code, so that ties fall as they do in the blend.
        self._items = np.full(shape, NO_ITEM, dtype=np.int32)
        self._items[row, column] = joined.items[kept]
        self._ranks = np.full((*shape, len(lists)), -1, dtype=np.int32)
        self._ranks[row, column] = joined.ranks[kept]
        self._reciprocal: dict[float, NDArray[np.float32]] = {}

    def score(self, weights: NDArray[np.float64], rank_constant: float) -> float:
        """Return the blend's mean NDCG over all requests."""
        if not len(self._items):
            return 0.0
        if rank_constant not in self._reciprocal:
            self._reciprocal = {rank_constant: reciprocal_ranks(self._ranks, rank_constant).astype(np.float32)}
        scores = self._reciprocal[rank_constant] @ weights.astype(np.float32)
        scores[scores <= 0] = -np.inf  # padding, and what only sources of weight 0 found
        places, _ = rank_scores(scores, CUT)
        items = np.take_along_axis(self._items, np.maximum(places, 0), axis=1)
        ranked = np.where(places == NO_ITEM, NO_ITEM, items)
        return float(ndcg(find(ranked, self._relevant), CUT).sum()) / self._requests

    def climb(self, start: tuple[NDArray[np.float64], float]) -> tuple[float, NDArray[np.float64], float]:
        """Change one number at a time while that helps; return (NDCG, weights, rank constant)."""
        weights, constant = start[0].copy(), start[1]
        best = self.score(weights, constant)
        for _ in range(_ROUNDS):
            before = best
            for source in range(len(weights)):
                for value in WEIGHTS:
                    changed = weights.copy()
                    changed[source] = value
                    score = self.score(changed, constant)
                    if score > best:
                        best, weights = score, changed
            for value in RANK_CONSTANTS:
                score = self.score(weights, value)
                if score > best:
                    best, constant = score, value
            if best == before:
                break
        return best, weights, constant
