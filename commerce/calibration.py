"""Whether probabilities mean what they say: of the moments given 30%, it should happen in 30%.

Moments are put into bins of (nearly) equal mass by their probability, and in each bin the mean probability is held
against the share in which it happened. Bins of equal width leave most of them empty or noisy where a model is sure of
itself, so those of equal mass are used: the "adaptive" ones of Nixon et al. 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """Bins of moments, from the lowest probability to the highest; all arrays ``[bins]``."""

    given: Floats
    """Mean probability."""
    happened: Floats
    """Share of the moments in which it happened."""
    counts: NDArray[np.int64]
    """Moments."""


def reliability(probabilities: NDArray[np.floating], happened: NDArray[np.bool_], bins: int) -> Reliability:
    """Return the reliability diagram over bins of equal mass.

    Args:
        probabilities: ``[moments]``.
        happened: ``[moments]``, whether what the probability is about came true.
        bins: at most; equal probabilities share a bin, so that the order of moments decides nothing, and there may be
            fewer.

    Raises:
        ValueError: without moments or bins, with lengths that differ, or with numbers that are no probabilities.
    """
    if probabilities.shape != happened.shape or probabilities.ndim != 1 or not len(probabilities) or bins < 1:
        raise ValueError(
            f"expected as many outcomes as probabilities, one at least, and one bin at least; got {happened.shape} "
            f"outcomes, {probabilities.shape} probabilities and {bins} bins"
        )
    # Softmax in float32 may add up to a little above 1.
    if not (probabilities.min() >= 0 and probabilities.max() <= 1 + 1e-5):
        raise ValueError(
            f"probabilities lie between 0 and 1, got {probabilities.min()} to {probabilities.max()}; pass them, "
            "not scores or logits"
        )
    order = np.argsort(probabilities, kind="stable")
    sorted_given, sorted_happened = probabilities[order].astype(np.float64), happened[order].astype(np.float64)
    edges = np.round(np.linspace(0, len(order), bins + 1)).astype(np.int64)[1:]
    edges = np.unique(np.searchsorted(sorted_given, sorted_given[np.maximum(edges, 1) - 1], side="right"))
    starts = np.concatenate([[0], edges[:-1]])
    counts = edges - starts
    return Reliability(
        given=np.add.reduceat(sorted_given, starts) / counts,
        happened=np.add.reduceat(sorted_happened, starts) / counts,
        counts=counts,
    )


# Expected calibration error: mean over moments of |share - mean probability| of their bin. Naeini, Cooper &
# Hauskrecht 2015; with bins of equal mass, Nixon et al. 2019. Clash: most papers report it for the likeliest class
# alone and over bins of equal width. It is never negative, so noise alone makes it positive: see ``chance_error``.


def expected_calibration_error(found: Reliability) -> float:
    """Return the expected calibration error, between 0 (means what it says) and 1."""
    return float(np.average(np.abs(found.happened - found.given), weights=found.counts))


def chance_error(found: Reliability) -> float:
    """Return the calibration error to be expected of probabilities that mean exactly what they say.

    Each bin's share would scatter around its mean probability p as a share of n independent moments does, normally
    and with variance p (1 - p) / n, of which the mean distance is sqrt(2 / pi) standard deviations.
    """
    scatter = np.sqrt(2.0 / np.pi * found.given * np.clip(1.0 - found.given, 0.0, 1.0) / found.counts)
    return float(np.average(scatter, weights=found.counts))


def share_interval(shares: Floats, counts: NDArray[np.int64], confidence: float) -> tuple[Floats, Floats]:
    """Return the low and high ends of the intervals of shares, ``[bins]`` each; Wilson 1927.

    Moments count as independent of each other: where users have several, the truth is a little wider.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    middle = (shares + z**2 / (2 * counts)) / (1 + z**2 / counts)
    reach = z / (1 + z**2 / counts) * np.sqrt(shares * (1 - shares) / counts + z**2 / (4 * counts**2))
    # At a share of 0 or 1 the end is the share itself, up to rounding.
    return np.minimum(middle - reach, shares), np.maximum(middle + reach, shares)
