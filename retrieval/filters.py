"""Which items a request may be answered with: available at its moment, not excluded, and passing by their fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM

ALWAYS_FROM = np.iinfo(np.int64).min
ALWAYS_UNTIL = np.iinfo(np.int64).max
NOTHING = np.empty(0, dtype=np.int32)


@dataclass(frozen=True)
class Allowed:
    """What each request of a block may be answered with.

    Item i is available at a moment when ``available_from[i] <= moment < available_until[i]``.
    """

    available_from: NDArray[np.int64]
    """``[items]``, microseconds UTC."""
    available_until: NDArray[np.int64]
    """``[items]``, microseconds UTC, exclusive."""
    moment: NDArray[np.int64]
    """``[requests]``: each request has its own."""
    excluded: Sequence[NDArray[np.int32]]
    """For each request the items it must not be answered with (those the user has seen, say), in any order."""
    only: NDArray[np.bool_] | None = None
    """``[items]``: what may be shown to any of the requests, by the items' fields (``retrieval.fields``); None: all."""

    def __post_init__(self) -> None:
        if len(self.excluded) != len(self.moment):
            raise ValueError(
                f"{len(self.excluded)} lists of excluded items for {len(self.moment)} requests; give one per request, "
                "empty where nothing is excluded"
            )

    @classmethod
    def everything(cls, items: int, requests: int) -> Allowed:
        """Allow all of ``items`` to each of ``requests`` at any time."""
        return cls(
            np.full(items, ALWAYS_FROM),
            np.full(items, ALWAYS_UNTIL),
            np.zeros(requests, dtype=np.int64),
            [NOTHING] * requests,
        )

    def __len__(self) -> int:
        return len(self.moment)

    @property
    def items(self) -> int:
        """Number of items in the catalogue."""
        return len(self.available_from)

    def of(self, rows: NDArray[np.integer]) -> Allowed:
        """Return what the requests ``rows`` may be answered with, in that order."""
        excluded = [self.excluded[row] for row in rows]
        return Allowed(self.available_from, self.available_until, self.moment[rows], excluded, self.only)

    def mask(self, items: NDArray[np.integer], rows: NDArray[np.integer] | None = None) -> NDArray[np.bool_]:
        """Return whether each item may be shown; padding (``NO_ITEM``) may not.

        Args:
            items: ``[requests, any]``, or ``[len(rows), any]`` where ``rows`` are given.
            rows: the requests that the rows of ``items`` belong to; all, in order, when left out.
        """
        rows = np.arange(len(self)) if rows is None else rows
        known = np.maximum(items, 0)
        moment = self.moment[rows][:, None]
        shown: NDArray[np.bool_] = (
            (items != NO_ITEM) & (self.available_from[known] <= moment) & (moment < self.available_until[known])
        )
        if self.only is not None:
            shown &= self.only[known]
        if len(self._excluded_keys):
            # (request, item) as one integer, so that all rows are looked up at once.
            keys = rows[:, None].astype(np.int64) * self.items + known
            place = np.minimum(np.searchsorted(self._excluded_keys, keys), len(self._excluded_keys) - 1)
            shown &= self._excluded_keys[place] != keys
        return shown

    def row(self, row: int, items: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return whether request ``row`` may be shown each of ``items`` ([any])."""
        shown: NDArray[np.bool_] = self.mask(items[None, :], np.array([row]))[0]
        return shown

    @cached_property
    def _excluded_keys(self) -> NDArray[np.int64]:
        counts = [len(items) for items in self.excluded]
        if not sum(counts):
            return np.empty(0, dtype=np.int64)
        rows = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        return np.unique(rows * self.items + np.concatenate(self.excluded))
