"""Whether a difference between two systems is real: a test per comparison, and a correction for making many.

A randomisation test asks how often so large a difference comes about when it is luck which of the two systems got
which name (Fisher 1935; for retrieval Smucker, Allan & Carterette 2007). Requests of one user are alike, so a user's
requests change names together: the user is the unit, as in ``intervals``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BLOCK_CELLS = 8_000_000
"""Signs held at once: draws x users; 64 MB."""
_ROUNDING = 1e-9
"""Sums this close, in units of the summed absolute differences, are the same sum added up in another order."""


def sums_by_user(
    differences: NDArray[np.floating], users: NDArray[np.integer], everybody: NDArray[np.integer]
) -> Floats:
    """Return each user's summed difference, ``[users of everybody]``, 0 for users without requests among these.

    Args:
        differences: ``[requests]``, a - b of each request.
        users: ``[requests]``, whose request it is.
        everybody: distinct users in ascending order, all of ``users`` among them.
    """
    rows = np.searchsorted(everybody, users)
    return np.bincount(rows, weights=differences, minlength=len(everybody)).astype(np.float64)


def randomisation_test(sums: NDArray[np.floating], *, draws: int, seed: int) -> Floats:
    """Return the two-sided p-value of each column's mean difference, ``[columns]``.

    Args:
        sums: ``[users, columns]``, summed differences of each user; columns (metrics, segments) share their draws.
        draws: random exchanges of names. The difference as it was counts as one more, so that no p-value is 0 and the
            test rejects a true null no more often than it says (Phipson & Smyth 2010).
        seed: of the draws.

    Raises:
        ValueError: without users, or with a value that is not finite.
    """
    sums = np.asarray(sums, dtype=np.float64)
    if not len(sums):
        raise ValueError("there are no users, so there is no difference to test; check which requests were kept")
    if not np.isfinite(sums).all():
        raise ValueError(
            f"{int((~np.isfinite(sums)).sum()):,} of {sums.size:,} summed differences are no finite numbers"
        )
    # Users in whom no two systems differ change no sum, whatever they are called; on sparse hits those are most.
    sums = sums[np.any(sums != 0, axis=1)]
    observed = np.abs(sums.sum(axis=0)) - _ROUNDING * np.abs(sums).sum(axis=0)
    as_large = np.zeros(sums.shape[1], dtype=np.int64)
    if not len(sums):
        return np.ones(sums.shape[1])
    for signs in _signs(len(sums), draws, seed):
        as_large += (np.abs(signs @ sums) >= observed).sum(axis=0)
    return ((as_large + 1.0) / (draws + 1.0)).astype(np.float64)


def holm(p_values: NDArray[np.floating]) -> Floats:
    """Return p-values adjusted for the number of comparisons, ``[comparisons]`` in the same order (Holm 1979).

    Calling those up to .05 real is wrong about any of them in at most 5% of such families, however they hang together.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_values, kind="stable")
    left = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * left))
    return adjusted


def verdict(difference: float, p_value: float, confidence: float) -> str:
    """Say in words whether a difference is real: better, worse, or no difference seen.

    The one rule of ``evaluate``, ``show``, the report and ``compare``.

    Args:
        difference: by how much the one has more than the other.
        p_value: of the randomisation test, corrected for all comparisons made together (``holm``).
        confidence: e.g. .95, with which p-values up to .05 are real.
    """
    # 1 - .95 is .050000000000000044 in floating point.
    if p_value > round(1.0 - confidence, 9):
        return "no difference seen"
    return "better" if difference > 0 else "worse"


def enough_draws(comparisons: int, confidence: float) -> int:
    """Return the draws with which the least p-value, corrected for so many comparisons, is a tenth of the level."""
    return max(10_000, int(np.ceil(10.0 * comparisons / (1.0 - confidence))))


def _signs(users: int, draws: int, seed: int) -> Iterator[Floats]:
    """Yield blocks ``[some draws, users]`` of +1 and -1, each with probability one half."""
    rng = np.random.default_rng(seed)
    size = max(1, _BLOCK_CELLS // users)
    for start in range(0, draws, size):
        rows = min(size, draws - start)
        coins = np.unpackbits(rng.integers(0, 256, (rows, -(-users // 8)), dtype=np.uint8), axis=1, count=users)
        yield 2.0 * coins.astype(np.float64) - 1.0
