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
    names: tuple[str, ...],
    ridge: float = 0.01,
) -> GradeBlend:
    """Fit by least squares without negative weights, with a ridge (Lawson & Hanson 1974; Breiman's stacking, 1996).

    Args:
        scores: ``[pairs, scores]``.
        grades: ``[pairs]``.
        weights: ``[pairs]``, how sure a grade is.
        names: of the scores.
        ridge: penalty of a squared weight, as a share of the pairs' own say.
    """
    share = weights / weights.sum()
    mean = share @ scores
    spread = np.sqrt(share @ (scores - mean) ** 2)
    # A score that never varies says nothing: a huge scale keeps it at zero for ever.
    spread = np.where(spread > 1e-9, spread, 1e12)
    level = float(share @ grades)
    rows = np.sqrt(share)[:, None] * (scores - mean) / spread
    wanted = np.sqrt(share) * (grades - level)
    count = scores.shape[1]
    found, _ = nnls(np.concatenate([rows, np.sqrt(ridge) * np.eye(count)]), np.concatenate([wanted, np.zeros(count)]))
    return GradeBlend(names, mean, spread, found, level)
