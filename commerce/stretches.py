"""Stretches of one long array, laid end to end: the events of users, the edges of items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stretches(starts: NDArray[np.integer], lengths: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return every position of some stretches and which stretch it is of.

    Args:
        starts: ``[stretches]``, first position of each.
        lengths: ``[stretches]``, positions of each, 0 for none.

    Returns: ``(row, position)``, int64 ``[positions]`` each, stretch by stretch, positions ascending.
    """
    row = np.repeat(np.arange(len(lengths)), lengths)
    before = np.cumsum(lengths, dtype=np.int64) - lengths
    return row, np.arange(len(row)) + np.repeat(starts - before, lengths)
