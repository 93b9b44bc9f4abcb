"""Histories: every user's events in order of time, as memory-mapped arrays.

An example is only (user, position), so nothing is copied, data may exceed memory, and a sampler's state
is a pair of integers. Events of one (user, time) are one group: what is learned or asked about a moment may
use only strictly earlier groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_ARRAYS = ("offsets", "item", "action", "time", "query", "session")


@dataclass(frozen=True)
class Events:
    """Events of one user, oldest first; all arrays ``[events]``."""

    item: NDArray[np.int32]
    """Item code, ``NO_ITEM`` on a search."""
    action: NDArray[np.uint8]
    """Code in ``ACTIONS``."""
    time: NDArray[np.int64]
    """Microseconds since 1970 UTC."""
    query: NDArray[np.int32]
    """Query code, ``NO_QUERY`` where there are no search terms."""

    def __len__(self) -> int:
        return len(self.item)

    def last(self, count: int) -> Events:
        """Return the last ``count`` events, or all of them where there are fewer."""
        start = max(0, len(self) - count)
        return Events(self.item[start:], self.action[start:], self.time[start:], self.query[start:])


@dataclass(frozen=True)
class Histories:
    """All users' events, sorted by (user, time, file row).

    ``offsets`` is int64 ``[users + 1]``: user u's events are ``offsets[u]:offsets[u + 1]`` of the other arrays,
    ``[events]`` each: ``item`` int32, ``action`` uint8, ``time`` int64, ``query`` int32, ``session`` int64.
    """

    offsets: NDArray[np.int64]
    item: NDArray[np.int32]
    action: NDArray[np.uint8]
    time: NDArray[np.int64]
    query: NDArray[np.int32]
    session: NDArray[np.int64]

    @classmethod
    def open(cls, folder: Path) -> Histories:
        """Memory-map the arrays in ``folder`` read-only."""
        return cls(*(np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in _ARRAYS))

    def save(self, folder: Path) -> None:
        """Write one ``.npy`` file per array into ``folder``, which is made if needed."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))

    @property
    def users(self) -> int:
        """Number of users."""
        return len(self.offsets) - 1

    def end_before(self, user: int, moment: int) -> int:
        """Return the absolute position of the first event of ``user`` that is not strictly earlier than ``moment``."""
        start, stop = self.offsets[user], self.offsets[user + 1]
        return int(start + np.searchsorted(self.time[start:stop], moment, side="left"))

    def events(self, user: int, end: int) -> Events:
        """Return the events of ``user`` before absolute position ``end``."""
        span = slice(int(self.offsets[user]), int(end))
        return Events(self.item[span], self.action[span], self.time[span], self.query[span])
