"""Whether a feature that models must not know can be read from vectors all the same.

A logistic regression is trained to tell, from a user's vector, whether the feature has a value; users are judged by a
regression that has not seen them (cross-validation). The area under the ROC curve is the chance that a user with the
value gets a higher score than one without: .5 is a guess (Hanley and McNeil 1982). Its interval resamples users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import rankdata

from commerce.features import category_name

FOLDS = 5
LEAST = 20
"""Users with a value, and without it, below whom nothing is said."""
_MOST_USERS = 50_000
"""Drawn at random where there are more: the interval is narrow enough."""
_RIDGE = 1.0
"""Of the regression, on standardised columns, in units of one user's loss."""


@dataclass(frozen=True)
class Read:
    """How well one value of a feature can be read."""

    feature: str
    value: str
    users: int
    """With the feature known."""
    having: int
    """With this value."""
    auroc: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        """Return what ``metrics.json`` holds."""
        return asdict(self)


def probe_features(
    vectors: NDArray[np.floating],
    features: Mapping[str, Sequence[Any]],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> list[Read]:
    """Return how well each value of each feature can be read from vectors.

    Args:
        vectors: ``[users, dim]``.
        features: name to the values of the users; missing ones are left out. Numbers become "above the median".
        resamples: of users, behind each interval.
        confidence: of the intervals.
        seed: of the folds and the draws.
    """
    found = []
    for name, values in features.items():
        for value, known, having in _questions(values):
            rows = np.flatnonzero(known)
            if len(rows) > _MOST_USERS:
                rows = np.sort(np.random.default_rng([seed, 3]).choice(rows, _MOST_USERS, replace=False))
            truth = having[rows]
            if min(int(truth.sum()), int((~truth).sum())) < LEAST:
                continue
            scores = held_out_scores(np.asarray(vectors[rows], dtype=np.float64), truth, seed)
            low, high = _interval(scores, truth, resamples, confidence, seed)
            found.append(Read(name, value, len(rows), int(truth.sum()), auroc(scores, truth), low, high))
    return found


def auroc(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """Return the share of pairs (one true, one not) of which the true one scores higher; ties count half."""
    positive, negative = int(truth.sum()), int((~truth).sum())
    ranks = rankdata(scores)
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * negative))


def held_out_scores(vectors: NDArray[np.float64], truth: NDArray[np.bool_], seed: int) -> NDArray[np.float64]:
    """Return each user's log-odds by a regression trained on the other folds, ``[users]``; folds keep the shares.

    Scores of different folds have scales of their own, so each fold's are turned into ranks from 0 to 1.
    """
    random, fold = np.random.default_rng([seed, 5]), np.empty(len(truth), dtype=np.int64)
    for side in (truth, ~truth):
        rows = random.permutation(np.flatnonzero(side))
        fold[rows] = np.arange(len(rows)) % FOLDS
    scores = np.empty(len(truth))
    for number in range(FOLDS):
        rest, own = fold != number, fold == number
        mean, deviation = vectors[rest].mean(axis=0), vectors[rest].std(axis=0) + 1e-9
        weights = fit_logistic((vectors[rest] - mean) / deviation, truth[rest])
        raw = ((vectors[own] - mean) / deviation) @ weights[1:] + weights[0]
        scores[own] = (rankdata(raw) - 0.5) / own.sum()
    return scores


def fit_logistic(columns: NDArray[np.float64], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return bias and weights, ``[1 + columns]``, of the logistic regression with a ridge, by L-BFGS."""
    sign = np.where(truth, 1.0, -1.0)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (columns @ weights[1:] + weights[0])
        pull = -sign * expit(-margin)
        gradient = np.concatenate([[pull.sum()], columns.T @ pull + _RIDGE * weights[1:]])
        return float(np.logaddexp(0.0, -margin).sum() + 0.5 * _RIDGE * (weights[1:] ** 2).sum()), gradient

    start = np.zeros(columns.shape[1] + 1)
    found: NDArray[np.float64] = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    return found


def _interval(
    scores: NDArray[np.float64], truth: NDArray[np.bool_], resamples: int, confidence: float, seed: int
) -> tuple[float, float]:
    """Return the ends of the bootstrap interval; users with and without the value are drawn apart."""
    random = np.random.default_rng([seed, 7])
    one, other = scores[truth], scores[~truth]
    labels = np.arange(len(scores)) < len(one)
    draws = [
        auroc(np.concatenate([random.choice(one, len(one)), random.choice(other, len(other))]), labels)
        for _ in range(resamples)
    ]
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def _questions(values: Sequence[Any]) -> list[tuple[str, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Return (value, who has any, who has it) for each value; of two values one says all."""
    numbers = all(
        value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) for value in values
    )
    if numbers:
        column = np.array([np.nan if value is None else float(value) for value in values])
        known = np.isfinite(column)
        if not known.any():
            return []
        median = float(np.median(column[known]))
        return [(f"above {median:g}", known, known & (column > median))]
    names = np.array([category_name(value) for value in values])
    known = names != ""
    distinct = sorted(set(names[known].tolist()))
    asked = distinct[1:] if len(distinct) == 2 else distinct
    return [(value, known, names == value) for value in asked]
