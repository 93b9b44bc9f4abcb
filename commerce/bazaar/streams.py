"""Randomness by address: every draw is a pure function of (seed, name, coordinates).

There is no state, so a draw does not depend on how many were made before it: switching one habit off, or writing the
shop in other chunks, leaves all other draws exactly as they were.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


class Streams:
    """Named random functions of integer coordinates."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def uniform(self, name: str, *coordinates: ArrayLike) -> NDArray[np.float64]:
        """Return numbers in (0, 1), one for each cell of the coordinates broadcast against each other."""
        digest = hashlib.blake2b(f"{self._seed}/{name}".encode(), digest_size=8).digest()
        state = np.atleast_1d(np.uint64(int.from_bytes(digest, "little")))
        for coordinate in coordinates:
            # Unsigned overflow is the arithmetic of the hash, and NumPy arrays wrap around in silence.
            step = np.atleast_1d(np.asarray(coordinate)).astype(np.int64).astype(np.uint64) + np.uint64(1)
            state = _mix(state + step * _GOLDEN)
        numbers = ((state >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
        return numbers

    def normal(self, name: str, *coordinates: ArrayLike) -> NDArray[np.float64]:
        """Return standard normal numbers (Box-Muller)."""
        radius = np.sqrt(-2.0 * np.log(self.uniform(f"{name}/radius", *coordinates)))
        return radius * np.cos(2.0 * np.pi * self.uniform(f"{name}/angle", *coordinates))

    def gumbel(self, name: str, *coordinates: ArrayLike) -> NDArray[np.float64]:
        """Return Gumbel numbers: the argmax of (score + Gumbel) is a draw from softmax(score)."""
        return -np.log(-np.log(self.uniform(name, *coordinates)))

    def choice(self, name: str, options: int, *coordinates: ArrayLike) -> NDArray[np.int64]:
        """Return integers in ``[0, options)``, all alike likely."""
        return (self.uniform(name, *coordinates) * options).astype(np.int64)


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64 bits: the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return state ^ (state >> np.uint64(31))
