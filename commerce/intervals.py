"""How sure a measured mean is: bootstrap intervals over users.

Requests of one user are alike, so users are resampled, not requests (Efron & Tibshirani 1993, chapter 8): a user drawn
twice brings all of their requests twice. Two systems measured on the same requests are compared by the interval of
their difference, which is far narrower than their own intervals suggest (Sakai 2006).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BLOCK_CELLS = 4_000_000
"""Weights held at once: resamples x users; 32 MB."""


@dataclass(frozen=True)
class Interval:
    """A mean with the range its resamples fall into."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Return what ``metrics.json`` holds."""
        return asdict(self)


def bootstrap(
    values: NDArray[np.floating], users: NDArray[np.integer], *, resamples: int, confidence: float, seed: int
) -> Interval:
    """Return the mean of ``values`` over requests with its percentile interval over users.

    Args:
        values: ``[requests]``, one number per request.
        users: ``[requests]``, whose request it is.
        resamples: draws of as many users as there are, with replacement.
        confidence: share of the resamples inside, e.g. .95.
        seed: of the draws; the same users and seed give the same draws.

    Raises:
        ValueError: without requests, with lengths that differ or a value that is not finite.
    """
    (interval,) = bootstrap_columns(
        np.asarray(values)[:, None], users, resamples=resamples, confidence=confidence, seed=seed
    )
    return interval


def paired(
    a: NDArray[np.floating],
    b: NDArray[np.floating],
    users: NDArray[np.integer],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Return the interval of mean(a - b), both measured on the same requests ([requests] each).

    Where it lies above zero, a is better than b beyond the luck of which users were met.
    """
    if len(a) != len(b):
        raise ValueError(f"paired values must be of the same requests, got {len(a):,} and {len(b):,}")
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return bootstrap(difference, users, resamples=resamples, confidence=confidence, seed=seed)


def bootstrap_columns(
    values: NDArray[np.floating], users: NDArray[np.integer], *, resamples: int, confidence: float, seed: int
) -> list[Interval]:
    """Return ``bootstrap`` of each column of ``values`` ([requests, columns]), all with the same draws."""
    return draw_means(values, users, resamples=resamples, seed=seed).intervals(confidence)


@dataclass(frozen=True)
class Drawn:
    """Means of some columns, and what they are when users are drawn anew.

    Those of two systems on the same requests, with one seed, may be subtracted: that is the paired bootstrap.
    """

    values: Floats
    """``[columns]``."""
    means: Floats
    """``[resamples, columns]``."""

    def __sub__(self, other: Drawn) -> Drawn:
        return Drawn(self.values - other.values, self.means - other.means)

    def intervals(self, confidence: float) -> list[Interval]:
        """Return each column's mean with the quantiles of its draws."""
        tail = (1.0 - confidence) / 2.0
        low, high = np.quantile(self.means, [tail, 1.0 - tail], axis=0)
        return [Interval(float(v), float(a), float(b)) for v, a, b in zip(self.values, low, high, strict=True)]


def draw_means(values: NDArray[np.floating], users: NDArray[np.integer], *, resamples: int, seed: int) -> Drawn:
    """Return the means over requests of each column of ``values`` ([requests, columns]), once and for each draw.

    Raises:
        ValueError: as ``bootstrap``.
    """
    values = np.asarray(values, dtype=np.float64)
    if not len(values):
        raise ValueError("there are no requests, so there is no mean; check which requests were kept")
    if len(values) != len(users):
        raise ValueError(f"{len(values):,} values for {len(users):,} users; give one user per request")
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).sum()):,} of {values.size:,} values are not finite numbers")
    _, rows = np.unique(users, return_inverse=True)
    counts = np.bincount(rows).astype(np.float64)
    sums = np.stack([np.bincount(rows, weights=column) for column in values.T], axis=1)
    totals = np.concatenate([sums, counts[:, None]], axis=1)
    drawn = np.concatenate([weights @ totals for weights in user_weights(len(counts), resamples, seed)])
    return Drawn(sums.sum(axis=0) / counts.sum(), drawn[:, :-1] / drawn[:, -1:])


def user_weights(users: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield blocks ``[some resamples, users]`` of how often each user was drawn; each row sums to ``users``."""
    rng = np.random.default_rng(seed)
    size = max(1, _BLOCK_CELLS // users)
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        drawn = rng.integers(0, users, (rows, users)) + np.arange(rows)[:, None] * users
        yield np.bincount(drawn.ravel(), minlength=rows * users).reshape(rows, users).astype(np.float64)
