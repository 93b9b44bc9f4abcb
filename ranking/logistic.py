"""Logistic regression by Newton's method, with a ridge: NumPy only, for dozens of columns and any number of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STEPS = 50
_ENOUGH = 1e-8
"""Mean change of the coefficients at which the search ends."""


def sigmoid(log_odds: NDArray[np.floating]) -> Floats:
    """Return 1 / (1 + exp(-x)), exact far out on both sides."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(log_odds, dtype=np.float64))))


def fit_logistic(columns: NDArray[np.floating], happened: NDArray[np.bool_], ridge: NDArray[np.floating]) -> Floats:
    """Return the coefficients, ``[columns]``, at the peak of likelihood times a normal prior.

    Args:
        columns: ``[rows, columns]``; a column of ones makes the intercept.
        happened: ``[rows]``.
        ridge: ``[columns]``: precision of the prior of each coefficient around 0; one without any is left free.

    Steps are halved while the objective falls (it is concave, so this ends at the peak).
    """
    design = np.asarray(columns, dtype=np.float64)
    coefficients = np.zeros(design.shape[1])
    best = _objective(design, happened, ridge, coefficients)
    for _ in range(_STEPS):
        given = sigmoid(design @ coefficients)
        gradient = design.T @ (happened - given) - ridge * coefficients
        curvature = (design.T * (given * (1.0 - given))) @ design + np.diag(ridge + 1e-9)
        step = np.linalg.solve(curvature, gradient)
        while _objective(design, happened, ridge, coefficients + step) < best and np.abs(step).max() > _ENOUGH:
            step = step / 2.0
        coefficients = coefficients + step
        best = _objective(design, happened, ridge, coefficients)
        if np.abs(step).mean() < _ENOUGH:
            break
    return coefficients


def _objective(design: Floats, happened: NDArray[np.bool_], ridge: NDArray[np.floating], coefficients: Floats) -> float:
    log_odds = design @ coefficients
    # log p is x - log(1 + e^x) where it happened, - log(1 + e^x) where not.
    likelihood = float((happened * log_odds - np.logaddexp(0.0, log_odds)).sum())
    return likelihood - 0.5 * float((ridge * coefficients**2).sum())
