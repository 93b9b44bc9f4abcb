"""One score of a pair from several: a line through standardised scores that foretells the grade. NumPy and SciPy only.

Weights are not negative: every score that enters is one that should rise with the grade, and with few queries to fit on
a negative weight is luck. Order within a query and the scale of grades are learned from the same line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GradeBlend:
    """What ``fit_grade_blend`` found."""

    names: tuple[str, ...]
    mean: Floats
    """``[scores]``, of the pairs fitted on."""
    spread: Floats
    """``[scores]``, likewise."""
    weights: Floats
    """``[scores]``, of standardised scores, in grades."""
    level: float
    """The mean grade."""

    def __call__(self, scores: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the blended score, about a grade, ``[pairs]`` of ``[pairs, scores]``."""
        standard = (scores - self.mean) / self.spread
        return np.asarray(self.level + standard @ self.weights, dtype=np.float32)

    def as_json(self) -> dict[str, Any]:
        """Return the weights for a person."""
        return {name: round(float(weight), 4) for name, weight in zip(self.names, self.weights, strict=True)}


def fit_grade_blend(
    scores: NDArray[np.floating],
    grades: NDArray[np.floating],
    weights: NDArray[np.floating],
    query: NDArray[np.integer],
    names: tuple[str, ...],
    ridge: float = 0.01,
) -> GradeBlend:
    """Fit by least squares without negative weights, with a ridge (Lawson & Hanson 1974; Breiman's stacking, 1996).

    Grades of one query's products have something in common that no score tells (a query that few products answer), and
    plain least squares takes weights that explain it for the sake of the order within a query. So queries have random
    effects (Balestra & Nerlove 1966): of every query's means that share is taken off which its effect makes up, nearly
    all of it where a query has many products, little where it has one, and the line is fitted to what is left.

    Args:
        scores: ``[pairs, scores]``.
        grades: ``[pairs]``.
        weights: ``[pairs]``, how sure a grade is.
        query: ``[pairs]``, whose products they are.
        names: of the scores.
        ridge: penalty of a squared weight, as a share of the pairs' own say.
    """
    share = weights / weights.sum()
    mean = share @ scores
    spread = np.sqrt(share @ (scores - mean) ** 2)
    # A score that never varies says nothing: a huge scale keeps it at zero for ever.
    spread = np.where(spread > 1e-9, spread, 1e12)
    level = float(share @ grades)
    rows, wanted = (scores - mean) / spread, np.asarray(grades - level, dtype=np.float64)
    queries = _Queries(np.unique(query, return_inverse=True)[1], share)
    first = _solve(rows, wanted, share, ridge)
    taken = queries.effects(wanted - rows @ first)[:, None]
    rows = rows - (taken * queries.means(rows))[queries.place]
    wanted = wanted - (taken * queries.means(wanted[:, None]))[queries.place, 0]
    return GradeBlend(names, mean, spread, _solve(rows, wanted, share, ridge), level)


def _solve(rows: Floats, wanted: Floats, share: Floats, ridge: float) -> Floats:
    count = rows.shape[1]
    root = np.sqrt(share)
    found, _ = nnls(
        np.concatenate([root[:, None] * rows, np.sqrt(ridge) * np.eye(count)]),
        np.concatenate([root * wanted, np.zeros(count)]),
    )
    return np.asarray(found)


@dataclass(frozen=True)
class _Queries:
    """Pairs by query."""

    place: NDArray[np.int64]
    """``[pairs]``, from 0."""
    share: Floats
    """``[pairs]``, of all weight."""

    def means(self, values: NDArray[np.floating]) -> Floats:
        """Return weighted means, ``[queries, columns]``, of ``[pairs, columns]``; 0 where nothing weighs."""
        sums = np.stack([np.bincount(self.place, self.share * column) for column in values.T], axis=1)
        whole = np.bincount(self.place, self.share)[:, None]
        return np.divide(sums, whole, out=np.zeros_like(sums), where=whole > 0)

    def effects(self, left: Floats) -> Floats:
        """Return which share of each query's means its own effect makes up, ``[queries]``: 1 - (e / (e + n u))^(1/2).

        u and e, the variance between queries and within them, are those of what a first fit left over; with one
        product a query, or none that differ, nothing tells them apart and nothing is taken off.

        Args:
            left: ``[pairs]``.
        """
        count = np.bincount(self.place)
        whole = np.bincount(self.place, self.share)
        means = self.means(left[:, None])[:, 0]
        free = float((whole * (1.0 - 1.0 / count)).sum())
        within = float(self.share @ (left - means[self.place]) ** 2) / free if free > 0 else 0.0
        if within <= 0:
            return np.zeros(len(count))
        between = max(0.0, float(whole @ means**2 - within * (whole / count).sum()))
        taken: Floats = 1.0 - np.sqrt(within / (within + count * between))
        return taken
