"""How well intents are foretold: macro-F1 and log-loss, beside two rules that need no model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTIONS, INTENTS, NO_INTENT

Floats = NDArray[np.float64]
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


def intent_block(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    actions: NDArray[np.integer],
    earlier_labels: NDArray[np.integer],
    earlier_actions: NDArray[np.integer],
) -> dict[str, dict[str, float] | int] | None:
    """Return the block ``intent`` of ``metrics.json``; None where no moment, or no earlier one, has a label.

    Args:
        probabilities: ``[moments, intents]`` of the intent head.
        labels: ``[moments]``, ``NO_INTENT`` where there is none.
        actions: ``[moments]``, last actions.
        earlier_labels: of requests of earlier windows, which the two rules learn from.
        earlier_actions: their last actions.
    """
    known, learnt = labels != NO_INTENT, earlier_labels != NO_INTENT
    if not known.any() or not learnt.any():
        return None
    labels, actions = labels[known], actions[known]
    prior = np.tile(class_prior(earlier_labels[learnt]), (len(labels), 1))
    rule = last_action_rule(earlier_labels[learnt], earlier_actions[learnt])[actions]
    systems = {"head": probabilities[known], "class_prior": prior, "last_action": rule}
    block: dict[str, dict[str, float] | int] = {"requests": len(labels)}
    for name, given in systems.items():
        guesses = np.argmax(given, axis=1)
        block[name] = {"macro_f1": round(macro_f1(labels, guesses), 6), "log_loss": round(log_loss(labels, given), 6)}
    return block
