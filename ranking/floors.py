"""Exposure floors: which groups of items have to come next, so that each gets its share of the first places.

Place p weighs 1 / log2(p + 1), as in ``commerce.exposure``. A group is due at a place in two cases: its exposure so far
lies behind its share by as much as this place is worth (this spreads its items over the list, as the deterministic
greedy of Geyik, Ambler & Kenthapadi 2019 does with counts), or what all groups still lack could no longer be made up in
the places below. With one floor and enough candidates of the group the floor is always kept; with several, each may be
missed by less than one place is worth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from commerce.metrics import discount

_ROUNDING = 1e-9


class Floors:
    """What each group of each list has got and still lacks while places are filled from the top."""

    def __init__(
        self,
        shares: NDArray[np.float64],
        group: NDArray[np.int32],
        pinned: NDArray[np.int32],
        sizes: NDArray[np.int64],
    ) -> None:
        """Begin with empty places.

        Args:
            shares: ``[groups]``, of the exposure of a list's places.
            group: ``[items]``, -1 for none.
            pinned: ``[lists, places]``, items that certainly come, ``NO_ITEM`` elsewhere.
            sizes: ``[lists]``: places that can be filled.
        """
        self._active = bool(shares.any())
        self._shares, self._group = shares, group
        weights = discount(np.arange(pinned.shape[1]))
        self._weights = np.where(np.arange(pinned.shape[1]) < sizes[:, None], weights, 0.0)
        self._got = np.zeros((len(pinned), len(shares)))
        self._free = np.where(pinned < 0, self._weights, 0.0)
        # Pinned items count from the start: what they bring needs no place of its own.
        of_pinned = np.where(pinned >= 0, group[np.maximum(pinned, 0)], -1)
        self._coming = (
            np.stack(
                [np.where(of_pinned == code, self._weights, 0.0).sum(axis=1) for code in range(len(shares))], axis=1
            )
            if len(shares)
            else np.zeros((len(pinned), 0))
        )

    def first(self, place: int, fits: NDArray[np.bool_], pool: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return the candidates (``[lists, length]``) of due groups alone; all that fit where no due group has any."""
        if not self._active:
            return fits
        due = self._due(place)
        group = np.where(pool >= 0, self._group[np.maximum(pool, 0)], -1)
        of_due = np.take_along_axis(np.column_stack([due, np.zeros(len(due), bool)]), group, axis=1) & fits
        narrowed: NDArray[np.bool_] = np.where(of_due.any(axis=1, keepdims=True), of_due, fits)
        return narrowed

    def _due(self, place: int) -> NDArray[np.bool_]:
        weight = self._weights[:, place, None]
        so_far = self._weights[:, : place + 1].sum(axis=1, keepdims=True)
        behind = self._shares * so_far - self._got >= weight - _ROUNDING
        lacks = np.maximum(self._shares * self._weights.sum(axis=1, keepdims=True) - self._got - self._coming, 0.0)
        below = self._free[:, place + 1 :].sum(axis=1, keepdims=True)
        late = (lacks > _ROUNDING) & (lacks.sum(axis=1, keepdims=True) > below + _ROUNDING)
        due: NDArray[np.bool_] = (behind | late) & (self._shares > 0) & (weight > 0)
        return due

    def count(self, place: int, shown: NDArray[np.int32], pinned: NDArray[np.bool_]) -> None:
        """Note the item that each list shows at a place, and whether it is a pinned one (``[lists]`` each)."""
        if not self._active:
            return
        group = np.where(shown >= 0, self._group[np.maximum(shown, 0)], -1)
        rows = np.flatnonzero(group >= 0)
        self._got[rows, group[rows]] += self._weights[rows, place]
        rows = rows[pinned[rows]]
        self._coming[rows, group[rows]] -= self._weights[rows, place]

    def missed(self) -> NDArray[np.int64]:
        """Return how many groups of each list have got less than their share, ``[lists]``."""
        whole = self._weights.sum(axis=1, keepdims=True)
        missed: NDArray[np.int64] = (self._got < self._shares * whole - _ROUNDING).sum(axis=1)
        return missed
