"""How far the intent head's probabilities can be believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.calibration import Reliability, chance_error, expected_calibration_error, reliability
from commerce.columns import INTENTS, NO_INTENT
from commerce.records import Requests
from pipeline.asked import WINDOW
from pipeline.run_folder import RunFolder

BINS = 10
LIKELIEST = "likeliest intent"


@dataclass(frozen=True)
class Calibration:
    """The reliability of the probabilities of one thing."""

    name: str
    """An intent, or ``LIKELIEST``: whichever has the highest probability."""
    diagram: Reliability
    error: float
    """Expected calibration error."""
    by_chance: float
    """The error that perfectly calibrated probabilities would be expected to show on as many requests."""


def read_calibrations(run: RunFolder, measured: Requests) -> list[Calibration]:
    """Return the calibration of the intent head on the labelled among the measured requests; empty without any."""
    asked = Requests.read(run.stage("prepare") / "requests.parquet").of(WINDOW)
    kept = np.isin(asked.request_id, measured.request_id)
    return calibrations(np.load(run.stage("embed") / f"intents_{WINDOW}.npy")[kept], asked.intent[kept])


def calibrations(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> list[Calibration]:
    """Return the calibration of the likeliest intent, then of each intent.

    Args:
        probabilities: ``[requests, intents]``.
        labels: ``[requests]``, codes of ``INTENTS``, ``NO_INTENT`` where there is none: those do not count.
    """
    known = labels != NO_INTENT
    if not known.any():
        return []
    probabilities, labels = probabilities[known], labels[known]
    likeliest = np.argmax(probabilities, axis=1)
    found = [_calibration(LIKELIEST, probabilities.max(axis=1), likeliest == labels)]
    for code, intent in enumerate(INTENTS):
        found.append(_calibration(intent, probabilities[:, code], labels == code))
    return found


def _calibration(name: str, given: NDArray[np.floating], happened: NDArray[np.bool_]) -> Calibration:
    diagram = reliability(given, happened, BINS)
    return Calibration(name, diagram, expected_calibration_error(diagram), chance_error(diagram))
