"""Judges probabilities of one action against what happened: calibration error with its interval, log-loss, AUROC."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.calibration import Reliability, chance_error, expected_calibration_error, reliability
from commerce.intervals import Interval, paired, user_weights

BINS = 10


@dataclass(frozen=True)
class Judgement:
    """What became of the probabilities of one action."""

    rate: float
    """Share of exposures that it followed."""
    said: float
    """Mean probability."""
    error: Interval
    """Expected calibration error over ten bins of equal mass; resampling users adds noise, so its low end is no lower
    than chance allows (``by_chance``)."""
    by_chance: float
    """The error that perfectly calibrated probabilities would show on as many exposures."""
    error_at_position: float
    """The same error where the position in the log's list is taken as known."""
    log_loss: float
    """Mean of -ln p of what happened, in nats."""
    log_loss_of_rate: float
    """The same of somebody who always says the rate on ``fit``."""
    gain: Interval
    """Log-loss of the rate alone minus that of the probabilities, paired over users."""
    auroc: float
    """Chance that an exposure which it followed has the higher probability of two; 1/2 for equal ones."""
    diagram: Reliability

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        told = asdict(self)
        told["diagram"] = {name: values.tolist() for name, values in vars(self.diagram).items()}
        return told


def judge_probabilities(
    given: NDArray[np.floating],
    at_position: NDArray[np.floating],
    happened: NDArray[np.bool_],
    rate: float,
    users: NDArray[np.integer],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Judgement:
    """Judge probabilities on exposures that they were not fitted on.

    Args:
        given: ``[exposures]``.
        at_position: ``[exposures]``: with the position known.
        happened: ``[exposures]``.
        rate: what a rule without any model says.
        users: ``[exposures]``.
        resamples: of users, behind each interval.
        confidence: of the intervals.
        seed: of the resampling.
    """
    diagram = reliability(given, happened, BINS)
    losses, plain = _losses(given, happened), _losses(np.full(len(given), rate), happened)
    return Judgement(
        rate=float(happened.mean()),
        said=float(given.mean()),
        error=_error_interval(given, happened, users, diagram, resamples, confidence, seed),
        by_chance=chance_error(diagram),
        error_at_position=expected_calibration_error(reliability(at_position, happened, BINS)),
        log_loss=float(losses.mean()),
        log_loss_of_rate=float(plain.mean()),
        gain=paired(plain, losses, users, resamples=resamples, confidence=confidence, seed=seed),
        auroc=auroc(given, happened),
        diagram=diagram,
    )


def auroc(given: NDArray[np.floating], happened: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve (Hanley & McNeil 1982) by ranks, ties counting half; NaN for one class."""
    positives = int(happened.sum())
    if not 0 < positives < len(happened):
        return float("nan")
    _, place, counts = np.unique(given, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2.0)[place]
    return float((rank[happened].sum() - positives * (positives + 1) / 2.0) / (positives * (len(happened) - positives)))


def _losses(given: NDArray[np.floating], happened: NDArray[np.bool_]) -> NDArray[np.float64]:
    clipped = np.clip(np.asarray(given, dtype=np.float64), 1e-7, 1.0 - 1e-7)
    return -np.log(np.where(happened, clipped, 1.0 - clipped))


def _error_interval(
    given: NDArray[np.floating],
    happened: NDArray[np.bool_],
    users: NDArray[np.integer],
    diagram: Reliability,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Return the calibration error with quantiles of it over draws of users, the bins as they are."""
    ends = np.cumsum(diagram.counts)
    bin_of = np.empty(len(given), dtype=np.int64)
    bin_of[np.argsort(given, kind="stable")] = np.searchsorted(ends, np.arange(len(given)), side="right")
    _, owner = np.unique(users, return_inverse=True)
    count, bins = int(owner.max()) + 1, len(ends)
    cell = owner * bins + bin_of
    off = np.bincount(cell, weights=happened - np.asarray(given, dtype=np.float64), minlength=count * bins)
    size = np.bincount(cell, minlength=count * bins).astype(np.float64)
    off, size = off.reshape(count, bins), size.reshape(count, bins)
    drawn = np.concatenate(
        [
            np.abs(weights @ off).sum(axis=1) / (weights @ size).sum(axis=1)
            for weights in user_weights(count, resamples, seed)
        ]
    )
    value = expected_calibration_error(diagram)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(drawn, (tail, 1.0 - tail))
    return Interval(value, min(value, float(low)), max(value, float(high)))
