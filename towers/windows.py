"""Windows of histories, their order, and the batches of an epoch: all of it follows from (seed, epoch)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.stretches import stretches

_SORTED_BATCHES = 16
"""Batches that are sorted by length together: neighbours are padded little, yet batches stay mixed."""


@dataclass(frozen=True)
class Windows:
    """Stretches of histories that are read at once; arrays are ``[windows]``."""

    user: NDArray[np.int32]
    start: NDArray[np.int64]
    """Absolute position of the first event."""
    stop: NDArray[np.int64]
    """One past the last event."""

    def __len__(self) -> int:
        return len(self.user)

    def rows(self, rows: NDArray[np.int64]) -> Windows:
        """Return some windows."""
        return Windows(self.user[rows], self.start[rows], self.stop[rows])


@dataclass(frozen=True)
class WindowPlan:
    """Which windows an epoch reads, and in which batches.

    A history of at most ``length`` events is one window. A longer one gives ``ceil(events / length)`` windows of
    ``length`` events, spread over it and shifted at random every epoch, so their number never changes.
    """

    users: NDArray[np.int32]
    """Users with something to learn from, ``[users]``."""
    start: NDArray[np.int64]
    """Where each one's history starts, ``[users]``."""
    stop: NDArray[np.int64]
    """Where what may be trained on ends, ``[users]``."""
    length: int
    batch: int
    """Windows in a batch on average, over all ranks."""
    seed: int

    @property
    def counts(self) -> NDArray[np.int64]:
        """Windows of each user, at least one."""
        counts: NDArray[np.int64] = np.maximum(1, -(-(self.stop - self.start) // self.length))
        return counts

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return int(-(-self.counts.sum() // self.batch))

    def windows(self, epoch: int) -> Windows:
        """Return the windows of an epoch, by user."""
        random = np.random.default_rng([self.seed, epoch, 1])
        counts = self.counts
        row, nth = stretches(np.zeros_like(counts), counts)
        spare = np.maximum(self.stop - self.start - self.length, 0)[row]
        shift = (spare * (nth + random.random(len(row))) / counts[row]).round().astype(np.int64)
        start = self.start[row] + shift
        return Windows(self.users[row], start, np.minimum(start + self.length, self.stop[row]))

    def batches(self, epoch: int) -> list[Windows]:
        """Return the batches of an epoch in their order: about equally many events in each, of similar length.

        Were it equally many windows, a step over short histories would be made of far fewer states than one over long
        ones and yet weigh the same.
        """
        windows = self.windows(epoch)
        random = np.random.default_rng([self.seed, epoch, 2])
        order = random.permutation(len(windows))
        lengths = windows.stop - windows.start
        cut: list[NDArray[np.int64]] = []
        chunk = self.batch * _SORTED_BATCHES
        for first in range(0, len(order), chunk):
            part = order[first : first + chunk]
            part = part[np.argsort(lengths[part], kind="stable")]
            cut += _split_evenly(part, lengths[part], -(-len(part) // self.batch))
        return [windows.rows(cut[place]) for place in random.permutation(len(cut))]


def _split_evenly(rows: NDArray[np.int64], sizes: NDArray[np.int64], parts: int) -> list[NDArray[np.int64]]:
    """Cut rows into so many runs, none empty, of about equal total size."""
    before = np.cumsum(sizes + 1) - sizes - 1  # one more than its events: the state before any counts too
    edges = np.searchsorted(before, np.arange(1, parts) * ((before[-1] + sizes[-1] + 1) / parts))
    # At least one row in each part, from both ends.
    edges = np.maximum.accumulate(np.maximum(edges, np.arange(1, parts)) - np.arange(parts - 1)) + np.arange(parts - 1)
    edges = np.minimum(edges, len(rows) - parts + np.arange(1, parts))
    return np.split(rows, edges)
