"""How much each source says in the blend, learned from what users chose.

The blend has a handful of numbers: a weight a source and the rank constant. They are searched one at a time for a
better NDCG@10 on requests whose answers are known. A change counts only if it is better by more than two standard
errors over these requests: of two hundred blends tried, the best is otherwise the luckiest, and on later requests worse
than a plain one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from commerce.metrics import Relevant, find, ndcg
from commerce.ranked_lists import rank_scores
from commerce.stretches import stretches
from retrieval.blending import Say, blend_name, join_lists, reciprocal_ranks

CUT = 10
"""Blends are compared by NDCG at this place."""
FILLS_UP = 1e-4
"""Weight of a source whose items only follow those of the others."""
WEIGHTS = (FILLS_UP, 0.03, 0.07, 0.12, 0.2, 0.3, 0.45, 0.65, 0.85, 1.0, 1.3, 1.8, 2.5, 4.0)
RANK_CONSTANTS = (3.0, 10.0, 25.0, 60.0, 150.0)
_ROUNDS = 3
"""Times through all sources; a round that changes nothing ends the search."""


@dataclass(frozen=True)
class Blend(Say):
    """Learned weights, of which the largest is 1, and rank constant, with how well they did."""

    requests: int
    """Requests on which they were learned; 0 where nothing was."""
    ndcg: dict[str, float]
    """NDCG@10 on those requests: ``blend``, ``equal`` (weights of 1, the rank constant given) and each source alone."""

    @classmethod
    def equal(cls, sources: Sequence[str], rank_constant: float) -> Blend:
        """Return the blend in which every source weighs 1."""
        return cls(dict.fromkeys(sources, 1.0), rank_constant, 0, {})


def learn_blends(
    lists: Mapping[str, NDArray[np.int32]],
    relevant: Relevant,
    queries: Sequence[str],
    protocol: str,
    rank_constant: float,
) -> dict[str, Blend]:
    """Learn the blends of a protocol, for requests with and without search terms, by ``blend_name``.

    Where nobody asked in one of the two ways, the other's blend answers there too, as learned on 0 requests.

    Args:
        lists: as for ``learn_blend``.
        relevant: as for ``learn_blend``.
        queries: search terms of each request, empty without.
        protocol: that all of them were asked under.
        rank_constant: as for ``learn_blend``.
    """
    asked = np.array([blend_name(protocol, query) for query in queries], dtype=np.str_)
    blends = {}
    for name in (protocol, blend_name(protocol, "any")):
        own = asked == name
        blends[name] = learn_blend(
            {source: items[own] for source, items in lists.items()}, relevant.of(own), rank_constant
        )
    taught = [blend for blend in blends.values() if blend.requests]
    if taught:
        other = replace(taught[0], requests=0, ndcg={})
        blends = {name: blend if blend.requests else other for name, blend in blends.items()}
    return blends


def learn_blend(lists: Mapping[str, NDArray[np.int32]], relevant: Relevant, rank_constant: float) -> Blend:
    """Search weights and rank constant.

    Args:
        lists: each source's items, ``[requests, per_source]``, best first, ``NO_ITEM`` padded.
        relevant: of the same requests, at least one each.
        rank_constant: that the search begins with, and of the equal blend that it is compared with.
    """
    names = list(lists)
    if not len(relevant):
        return Blend.equal(names, rank_constant)
    trial = _Trial(list(lists.values()), relevant)
    equal = np.ones(len(names))
    alone = [trial.score(weights, rank_constant) for weights in np.eye(len(names))]
    compared = dict(zip(names, (float(score.mean()) for score in alone), strict=True))
    first = np.maximum(np.eye(len(names))[int(np.argmax(list(compared.values())))], FILLS_UP)
    best = trial.climb(first, rank_constant)
    # A second climb, from the plainest mixture, for sources that help only together.
    other = trial.climb(equal, rank_constant)
    if surely_better(other.scores, best.scores):
        best = other
    weights = best.weights / best.weights.max()
    compared = {"equal": float(trial.score(equal, rank_constant).mean()), **compared}
    return Blend(
        {name: round(float(weight), 6) for name, weight in zip(names, weights, strict=True)},
        best.rank_constant,
        len(relevant),
        {name: round(value, 5) for name, value in {"blend": float(best.scores.mean()), **compared}.items()},
    )


def surely_better(new: NDArray[np.float64], old: NDArray[np.float64]) -> bool:
    """Whether scores of the same requests, ``[requests]``, rise by more than two standard errors of their mean rise."""
    rise = new - old
    return bool(rise.mean() > 2.0 * rise.std() / np.sqrt(len(rise)))


@dataclass(frozen=True)
class _Climbed:
    weights: NDArray[np.float64]
    rank_constant: float
    scores: NDArray[np.float64]
    """NDCG of each request."""


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
        self._reached, self._relevant = reached, relevant.of(reached)
        kept = reached[joined.rows]
        row = (np.cumsum(reached) - 1)[joined.rows[kept]]
        counts = np.bincount(row, minlength=int(reached.sum()))
        _, column = stretches(np.zeros_like(counts), counts)
        shape = (len(counts), max(int(counts.max(initial=0)), 1))
        # Columns of a row go by item code, so that ties fall as they do in the blend.
        self._items = np.full(shape, NO_ITEM, dtype=np.int32)
        self._items[row, column] = joined.items[kept]
        self._ranks = np.full((*shape, len(lists)), -1, dtype=np.int32)
        self._ranks[row, column] = joined.ranks[kept]
        self._reciprocal: dict[float, NDArray[np.float32]] = {}

    def score(self, weights: NDArray[np.float64], rank_constant: float) -> NDArray[np.float64]:
        """Return the blend's NDCG of each request, ``[requests]``."""
        whole = np.zeros(self._requests)
        if not len(self._items):
            return whole
        if rank_constant not in self._reciprocal:
            self._reciprocal = {rank_constant: reciprocal_ranks(self._ranks, rank_constant).astype(np.float32)}
        scores = self._reciprocal[rank_constant] @ weights.astype(np.float32)
        scores[scores <= 0] = -np.inf  # padding, and what only sources of weight 0 found
        places, _ = rank_scores(scores, CUT)
        items = np.take_along_axis(self._items, np.maximum(places, 0), axis=1)
        ranked = np.where(places == NO_ITEM, NO_ITEM, items)
        whole[self._reached] = ndcg(find(ranked, self._relevant), CUT)
        return whole

    def climb(self, weights: NDArray[np.float64], constant: float) -> _Climbed:
        """Change one number at a time, to its best value, while that surely helps."""
        weights = weights.copy()
        scores = self.score(weights, constant)
        for _ in range(_ROUNDS):
            changed = False
            for source in range(len(weights)):
                tries = [np.where(np.arange(len(weights)) == source, value, weights) for value in WEIGHTS]
                found = [self.score(one, constant) for one in tries]
                best = int(np.argmax([each.mean() for each in found]))
                if surely_better(found[best], scores):
                    weights, scores, changed = tries[best], found[best], True
            found = [self.score(weights, value) for value in RANK_CONSTANTS]
            best = int(np.argmax([each.mean() for each in found]))
            if surely_better(found[best], scores):
                constant, scores, changed = RANK_CONSTANTS[best], found[best], True
            if not changed:
                break
        return _Climbed(weights, constant, scores)
