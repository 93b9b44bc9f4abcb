"""Codes of a catalogue as rows among those that a batch needs: what a step costs follows from these alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]


def distinct(*codes: NDArray[np.integer]) -> Codes:
    """Return the distinct codes that are not below 0, ascending."""
    needed = np.unique(np.concatenate([one.ravel() for one in codes])).astype(np.int64)
    return needed[needed >= 0]


def number(codes: NDArray[np.integer], known: Codes) -> Codes:
    """Return each code's row in ``known`` (ascending) + 1, 0 for a code below 0."""
    return np.where(codes >= 0, np.searchsorted(known, codes) + 1, 0)
