"""How well scores order the graded products of each query, and tell the grades apart.

Order: NDCG as web search means it, a product of grade g gaining 2 ** g - 1 (Burges et al. 2005), over the products that
were graded. A query whose products all have one grade has no order, and one whose products all gain nothing no ideal:
both are left out of the mean and counted. Equal scores stand in an order by hash, which no file's order can help.

Grades: scores are cut at values that were fitted on other queries, and the macro-F1 of what comes out is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from commerce.intervals import Interval, user_weights
from commerce.metrics import Relevant, find, ndcg
from commerce.splits import drawn_by_hash

Floats = NDArray[np.float64]
_CUTS = 64
"""Values of the score that a cut between two grades is chosen among."""
_PASSES = 4
"""Times that every cut is chosen anew, the others staying."""


@dataclass(frozen=True)
class GradedLists:
    """The graded products of some queries, laid out so that scores can be measured again and again."""

    places: NDArray[np.int32]
    """``[queries, most products]``: rows of the pairs, ``NO_ITEM`` padded, equal scores to stand in this order."""
    relevant: Relevant
    """Rows with a gain above 0 of each query."""
    queries: NDArray[np.int32]
    """``[queries]``: codes of the measured queries, ascending."""
    one_product: int
    """Queries left out: they have a single product."""
    one_grade: int
    """Queries left out: all their products have one grade."""

    def __len__(self) -> int:
        return len(self.queries)

    def ndcg(self, scores: NDArray[np.floating], k: int) -> Floats:
        """Return NDCG@k of each measured query, ``[queries]``, from scores of all pairs, ``[pairs]``.

        Raises:
            ValueError: if a score is no number: such a list has no order.
        """
        padded = self.places == NO_ITEM
        listed = np.where(padded, -np.inf, scores[np.where(padded, 0, self.places)])
        if np.isnan(listed).any():
            raise ValueError(f"{int(np.isnan(listed).sum()):,} scores are NaN, and a list of them has no order")
        order = np.argsort(-listed, axis=1, kind="stable")
        return ndcg(find(np.take_along_axis(self.places, order, axis=1), self.relevant), k)


def graded_lists(
    query: NDArray[np.int32], grade: NDArray[np.floating], kept: NDArray[np.bool_], seed: int
) -> GradedLists:
    """Lay out the products of the queries for which ``kept`` is true.

    Args:
        query: ``[pairs]``, codes.
        grade: ``[pairs]``, from 0.
        kept: ``[pairs]``.
        seed: of the order of equal scores.
    """
    rows = np.flatnonzero(kept)
    luck = drawn_by_hash([str(row) for row in rows], seed, "relevance ties")
    rows = rows[np.lexsort((luck, query[rows]))]
    codes, starts, sizes = np.unique(query[rows], return_index=True, return_counts=True)
    highest = np.maximum.reduceat(grade[rows], starts) if len(rows) else np.empty(0)
    lowest = np.minimum.reduceat(grade[rows], starts) if len(rows) else np.empty(0)
    ordered = highest > lowest
    places = np.full((len(codes), int(sizes.max(initial=0))), NO_ITEM, dtype=np.int32)
    filled = np.arange(places.shape[1]) < sizes[:, None]
    places[filled] = rows
    gains = np.exp2(grade[rows].astype(np.float64)) - 1.0
    some = (gains > 0) & np.repeat(ordered, sizes)
    counts = np.add.reduceat(some, starts) if len(rows) else np.empty(0, dtype=np.int64)
    relevant = Relevant(
        np.concatenate([[0], np.cumsum(counts[ordered])]).astype(np.int64),
        rows[some].astype(np.int32),
        gains[some].astype(np.float32),
    )
    return GradedLists(
        places[ordered], relevant, codes[ordered], int((sizes == 1).sum()), int((~ordered & (sizes > 1)).sum())
    )


def grade_levels(grade: NDArray[np.floating], most: int = 10) -> NDArray[np.floating] | None:
    """Return the distinct grades, ascending; None where there are one or more than ``most``, which are no classes."""
    levels = np.unique(grade)
    return levels if 2 <= len(levels) <= most else None


def fit_cuts(scores: NDArray[np.floating], classes: NDArray[np.integer], levels: int) -> Floats:
    """Return values of the score that part the grades with the best macro-F1, ascending, ``[levels - 1]``.

    One cut after the other takes the best of some quantiles between its neighbours, several times over.

    Args:
        scores: ``[pairs]``.
        classes: ``[pairs]``, places of the grades in their order.
        levels: number of grades.
    """
    tried = np.unique(np.quantile(scores, np.linspace(0.0, 1.0, _CUTS)))
    shares = np.cumsum(np.bincount(classes, minlength=levels))[:-1] / len(classes)
    cuts: Floats = np.quantile(scores, shares)  # as often guessed as given
    for _ in range(_PASSES):
        for place in range(len(cuts)):
            low = cuts[place - 1] if place else -np.inf
            high = cuts[place + 1] if place + 1 < len(cuts) else np.inf
            between = np.concatenate([[cuts[place]], tried[(tried >= low) & (tried <= high)]])
            found = []
            for value in between:
                cuts[place] = value
                found.append(macro_f1(confusion(classes, classify(scores, cuts), levels)))
            cuts[place] = between[int(np.argmax(found))]
    return cuts


def classify(scores: NDArray[np.floating], cuts: Floats) -> NDArray[np.int64]:
    """Return the class of each score, ``[pairs]``: how many cuts lie below it."""
    return np.asarray(np.searchsorted(cuts, scores, side="left"), dtype=np.int64)


def confusion(classes: NDArray[np.integer], guesses: NDArray[np.integer], levels: int) -> Floats:
    """Return how often each class was guessed as each, ``[levels, levels]``, rows being the truth."""
    cells = np.bincount(classes * levels + guesses, minlength=levels * levels)
    return np.asarray(cells.reshape(levels, levels), dtype=np.float64)


def macro_f1(counts: Floats) -> float:
    """Return the mean over classes of 2 hits / (given + guessed); classes neither given nor guessed do not enter.

    ``counts`` is ``[levels, levels]`` as ``confusion`` gives it. van Rijsbergen 1979, averaged over classes.
    """
    return float(_macro_f1(counts[None])[0])


def macro_f1_intervals(
    classes: NDArray[np.integer],
    guesses: Mapping[str, NDArray[np.integer]],
    query: NDArray[np.integer],
    levels: int,
    pairs_of_systems: list[tuple[str, str]],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> tuple[dict[str, Interval], dict[tuple[str, str], Interval]]:
    """Return each system's macro-F1 and the differences of some, with percentile intervals over queries.

    Args:
        classes: ``[pairs]``, the truth.
        guesses: system -> ``[pairs]``.
        query: ``[pairs]``: queries are drawn, with all their pairs.
        levels: number of grades.
        pairs_of_systems: (better?, than what?).
        resamples: draws of as many queries as there are.
        confidence: of the intervals.
        seed: of the draws, which the systems share.
    """
    _, unit = np.unique(query, return_inverse=True)
    units, cells = int(unit.max()) + 1, levels * levels
    drawn: dict[str, Floats] = {}
    values: dict[str, float] = {}
    for name, guessed in guesses.items():
        flat = np.bincount(unit * cells + classes * levels + guessed, minlength=units * cells).reshape(units, cells)
        values[name] = macro_f1(flat.sum(axis=0).reshape(levels, levels).astype(np.float64))
        blocks = [weights @ flat for weights in user_weights(units, resamples, seed)]
        drawn[name] = _macro_f1(np.concatenate(blocks).reshape(-1, levels, levels))
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    systems = {name: Interval(values[name], *map(float, np.quantile(drawn[name], tails))) for name in guesses}
    paired = {
        (one, other): Interval(values[one] - values[other], *map(float, np.quantile(drawn[one] - drawn[other], tails)))
        for one, other in pairs_of_systems
    }
    return systems, paired


def _macro_f1(counts: Floats) -> Floats:
    """Return the macro-F1 of each of some confusions, ``[draws]`` of ``[draws, levels, levels]``."""
    hits = np.diagonal(counts, axis1=1, axis2=2)
    either = counts.sum(axis=1) + counts.sum(axis=2)
    there = either > 0
    each = np.where(there, 2.0 * hits / np.where(there, either, 1.0), 0.0)
    mean: Floats = each.sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return mean
