"""How well intents are foretold, beside two rules that need no model, with paired intervals over users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.calibration import expected_calibration_error, reliability
from commerce.columns import ACTIONS, INTENTS, NO_INTENT
from commerce.intervals import user_weights

Floats = NDArray[np.float64]
DIFFERENCES = ("macro_f1", "log_loss", *(f"auroc_{intent}" for intent in INTENTS))
"""Measures that are compared with intervals."""
_BINS = 10
_NOTHING = len(ACTIONS)
"""Stands for the last action of someone without events."""


def macro_f1(labels: NDArray[np.integer], guesses: NDArray[np.integer]) -> float:
    """Return the mean over intents of 2 hits / (labelled + guessed); van Rijsbergen 1979, averaged over classes.

    Both are ``[moments]``, codes of ``INTENTS``. Intents neither labelled nor guessed do not enter the mean.
    Clash: some average precision and recall first and make one F of the two.
    """
    size = len(INTENTS)
    hits = np.bincount(labels[labels == guesses], minlength=size)
    either = np.bincount(labels, minlength=size) + np.bincount(guesses, minlength=size)
    return float(np.mean(2 * hits[either > 0] / either[either > 0]))


def log_loss(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> float:
    """Return the mean of -ln p(label), in nats; Good 1952.

    ``probabilities`` is ``[moments, intents]``; those below 1e-7 count as 1e-7.
    """
    given = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(given, 1e-7, 1.0)).mean())


def class_prior(labels: NDArray[np.integer]) -> Floats:
    """Return the share of each intent among ``labels`` ([moments]), with one added to each count: ``[intents]``."""
    counts = np.bincount(labels, minlength=len(INTENTS)).astype(np.float64) + 1.0
    shares: Floats = counts / counts.sum()
    return shares


def last_action_rule(labels: NDArray[np.integer], actions: NDArray[np.integer]) -> Floats:
    """Return the shares of intents after each last action, ``[actions + 1, intents]``; the last row: after nothing.

    Args:
        labels: ``[moments]``, to learn from.
        actions: ``[moments]``, as ``last_actions`` gives.

    The prior counts as one more moment of each action, so an action never seen answers with the prior.
    """
    counts = np.tile(class_prior(labels), (_NOTHING + 1, 1))
    np.add.at(counts, (actions, labels), 1.0)
    shares: Floats = counts / counts.sum(axis=1, keepdims=True)
    return shares


def last_actions(actions: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the last action's code in each visible history, ``[moments]``; one beyond the codes where it is empty.

    Args:
        actions: ``[events]`` of all histories.
        starts: ``[moments]``, where each user's history begins.
        ends: ``[moments]``, where what is visible ends.
    """
    last = np.full(len(ends), _NOTHING, dtype=np.int64)
    some = ends > starts
    last[some] = actions[ends[some] - 1]
    return last


def auroc(happened: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """Return the chance that a moment at which it happened scores above one at which it did not; ties count half.

    Area under the ROC curve, by ranks (Mann and Whitney 1947). Both are ``[moments]``; NaN where it always or never
    happened.
    """
    return float(_auroc_draws(happened, scores, np.ones((1, len(scores))))[0])


def intent_measures(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> dict[str, float]:
    """Return all measures of probabilities, rounded: macro_f1, log_loss, calibration_error and an auroc per intent.

    The decision that macro-F1 judges is the likeliest intent. The calibration error is the mean over intents of the
    expected calibration error of its probability, in ten bins of equal mass (classwise, Kull et al. 2019).

    Args:
        labels: ``[moments]``, codes of ``INTENTS``.
        probabilities: ``[moments, intents]``.
    """
    errors = [
        expected_calibration_error(reliability(probabilities[:, code], labels == code, _BINS))
        for code in range(len(INTENTS))
    ]
    areas = {f"auroc_{intent}": auroc(labels == code, probabilities[:, code]) for code, intent in enumerate(INTENTS)}
    found = {
        "macro_f1": macro_f1(labels, np.argmax(probabilities, axis=1)),
        "log_loss": log_loss(labels, probabilities),
        "calibration_error": float(np.mean(errors)),
        **{name: area for name, area in areas.items() if np.isfinite(area)},
    }
    return {name: round(value, 6) for name, value in found.items()}


def intent_differences(
    labels: NDArray[np.integer],
    one: NDArray[np.floating],
    other: NDArray[np.floating],
    users: NDArray[np.integer],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, dict[str, float]]:
    """Return ``one`` minus ``other`` in macro-F1, log-loss and each AUROC, with percentile intervals over users.

    Users are drawn anew, with all their moments and for both at once: the paired bootstrap (Efron 1979).

    Args:
        labels: ``[moments]``.
        one: ``[moments, intents]``, probabilities.
        other: ``[moments, intents]``.
        users: ``[moments]``, whose moment it is.
        resamples: draws.
        confidence: share of such intervals that hold the truth.
        seed: of the draws.
    """
    _, owner = np.unique(users, return_inverse=True)
    draws = [np.ones((1, int(owner.max()) + 1)), *user_weights(int(owner.max()) + 1, resamples, seed)]
    parts = [
        _drawn_measures(labels, one, weight[:, owner]) - _drawn_measures(labels, other, weight[:, owner])
        for weight in draws
    ]
    tail = (1.0 - confidence) / 2.0
    found = {}
    for place, name in enumerate(DIFFERENCES):
        value, drawn = parts[0][0, place], np.concatenate([part[:, place] for part in parts[1:]])
        if np.isfinite(value):
            low, high = np.nanquantile(drawn, [tail, 1.0 - tail])
            numbers = {"value": value, "low": min(low, value), "high": max(high, value)}
            found[name] = {key: round(float(number), 6) for key, number in numbers.items()}
    return found


def intent_block(
    systems: Mapping[str, NDArray[np.floating]],
    labels: NDArray[np.integer],
    users: NDArray[np.integer],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, Any] | None:
    """Return the block ``intent`` of ``metrics.json``; None where no moment has a label.

    Args:
        systems: name -> probabilities ``[moments, intents]``; the first is compared with each of the others.
        labels: ``[moments]``, ``NO_INTENT`` where there is none: those do not count.
        users: ``[moments]``, whose moment it is.
        resamples: draws of the paired intervals.
        confidence: theirs.
        seed: of the draws.
    """
    known = labels != NO_INTENT
    if not known.any():
        return None
    labels, given = labels[known], {name: found[known] for name, found in systems.items()}
    block: dict[str, Any] = {"requests": len(labels)}
    for name, found in given.items():
        block[name] = intent_measures(labels, found)
    first = next(iter(given))
    block["paired"] = {
        f"{first} - {name}": intent_differences(
            labels, given[first], found, users[known], resamples=resamples, confidence=confidence, seed=seed
        )
        for name, found in given.items()
        if name != first
    }
    return block


def plain_rules(
    actions: NDArray[np.integer], earlier_labels: NDArray[np.integer], earlier_actions: NDArray[np.integer]
) -> dict[str, Floats] | None:
    """Return what two rules without a model say, ``[moments, intents]`` each; None where no earlier moment has a label.

    Args:
        actions: ``[moments]``, last actions, as ``last_actions`` gives.
        earlier_labels: of moments of earlier windows, which the rules learn from, ``NO_INTENT`` without.
        earlier_actions: their last actions.
    """
    learnt = earlier_labels != NO_INTENT
    if not learnt.any():
        return None
    prior = np.tile(class_prior(earlier_labels[learnt]), (len(actions), 1))
    rule = last_action_rule(earlier_labels[learnt], earlier_actions[learnt])[actions]
    return {"class_prior": prior, "last_action": rule}


def _drawn_measures(labels: NDArray[np.integer], given: NDArray[np.floating], weight: Floats) -> Floats:
    """Return ``DIFFERENCES`` of each draw, ``[draws, measures]``; ``weight`` is ``[draws, moments]``."""
    guesses = np.argmax(given, axis=1)
    scores = []
    for code in range(len(INTENTS)):
        either = weight @ ((labels == code).astype(np.float64) + (guesses == code))
        with np.errstate(invalid="ignore", divide="ignore"):
            scores.append(2.0 * (weight @ ((labels == code) & (guesses == code)).astype(np.float64)) / either)
    surprise = -np.log(np.clip(given[np.arange(len(labels)), labels].astype(np.float64), 1e-7, 1.0))
    areas = [_auroc_draws(labels == code, given[:, code], weight) for code in range(len(INTENTS))]
    with np.errstate(invalid="ignore"):
        mean_f1 = np.nanmean(np.stack(scores), axis=0)
    return np.stack([mean_f1, weight @ surprise / weight.sum(axis=1), *areas], axis=1)


def _auroc_draws(happened: NDArray[np.bool_], scores: NDArray[np.floating], weight: Floats) -> Floats:
    """Return ``auroc`` of moments that count ``weight`` ([draws, moments]) times, ``[draws]``."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf) != 0)
    yes = np.add.reduceat(weight[:, order] * happened[order], starts, axis=1)
    no = np.add.reduceat(weight[:, order] * ~happened[order], starts, axis=1)
    below = np.cumsum(no, axis=1) - no / 2.0
    with np.errstate(invalid="ignore"):
        area: Floats = (yes * below).sum(axis=1) / (yes.sum(axis=1) * no.sum(axis=1))
    return area
