"""Which items a state is to foretell: those of the user's next strictly later group that holds a target action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, NO_ITEM
from commerce.histories import Histories

_BLOCK = 1_000_000
_ALWAYS = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Targets:
    """All events with a target action that the towers may learn from, in order of (user, time).

    Arrays are ``[targets]``. Targets of one (user, time) are one group.
    """

    position: NDArray[np.int64]
    """Absolute position in the histories."""
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    time: NDArray[np.int64]
    weight: NDArray[np.float32]
    """Loss weight of its action."""
    group_start: NDArray[np.int64]
    """First target of its group."""
    group_stop: NDArray[np.int64]
    """One past the last target of its group."""

    def __len__(self) -> int:
        return len(self.position)

    @classmethod
    def of(
        cls,
        histories: Histories,
        cuts: NDArray[np.int64],
        weights: Mapping[str, float],
        *,
        repeats: float = 1.0,
        since: int = _ALWAYS,
    ) -> Targets:
        """Collect the targets before each user's cut.

        Args:
            histories: of all users.
            cuts: ``[users]``, absolute position where what may be trained on ends.
            weights: action -> loss weight.
            repeats: factor on the weight of an item that its user had before; 0 leaves such targets out.
            since: earliest time of a target, microseconds.
        """
        by_action = np.zeros(256, dtype=np.float32)
        for action, weight in weights.items():
            by_action[ACTION_CODES[action]] = weight
        position = np.flatnonzero((by_action[histories.action] > 0) & (histories.item[:] != NO_ITEM))
        user = (np.searchsorted(histories.offsets, position, side="right") - 1).astype(np.int32)
        trained = position < cuts[user]
        position, user = position[trained], user[trained]
        time, item = histories.time[position], histories.item[position]
        weight_of = by_action[histories.action[position]] * np.where(_had_before(user, item, time), repeats, 1.0)
        kept = (weight_of > 0) & (time >= since)
        position, user, time, item = position[kept], user[kept], time[kept], item[kept]
        first = np.ones(len(position), dtype=bool)
        first[1:] = (user[1:] != user[:-1]) | (time[1:] != time[:-1])
        starts = np.flatnonzero(first)
        stops = np.append(starts[1:], len(position))
        group = np.cumsum(first) - 1
        return cls(position, user, item, time, weight_of[kept].astype(np.float32), starts[group], stops[group])

    def next_group(
        self, position: NDArray[np.int64], user: NDArray[np.int32], time: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the first target of the next strictly later group, -1 where the user has none; arrays ``[events]``."""
        found = np.searchsorted(self.position, position, side="right")
        found = self._past_equal_time(found, user, time)
        return self._of_user(found, user)

    def first_from(self, position: NDArray[np.int64], user: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the first target at or after a position, -1 where the user has none; arrays ``[windows]``."""
        return self._of_user(np.searchsorted(self.position, position, side="left"), user)

    def draw(self, first: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
        """Return one target of the group that holds ``first``, each of them equally likely; all indexes, ``[rows]``."""
        stop = self.group_stop[first]
        return first + (random.random(len(first)) * (stop - first)).astype(np.int64)

    def shares(
        self, items: int, histories: Histories, starts: NDArray[np.int64], cuts: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return each item's share among the targets that training draws, ``[items]``, float64.

        A group counts whole for every state that foretells it, and once more as a single draw where it is its user's
        first, which the state before any event foretells. So every item that can be in a pool has a share above 0;
        with a share of 0 the correction of its score would be infinite.

        Args:
            items: size of the catalogue.
            histories: of all users.
            starts: ``[users]``, absolute position from which a user's events are read in training.
            cuts: ``[users]``, absolute position where they end.
        """
        drawn = np.zeros(len(self), dtype=np.float64)
        for start in range(0, len(histories.item), _BLOCK):
            position = np.arange(start, min(start + _BLOCK, len(histories.item)))
            user = (np.searchsorted(histories.offsets, position, side="right") - 1).astype(np.int32)
            read = (position >= starts[user]) & (position < cuts[user])
            position, user = position[read], user[read]
            time = histories.time[position]
            following = np.minimum(position + 1, cuts[user] - 1)
            ends = (following == position) | (histories.time[following] != time)
            first = self.next_group(position[ends], user[ends], time[ends])
            np.add.at(drawn, first[first >= 0], 1.0)
        user = np.flatnonzero(cuts > starts).astype(np.int32)
        first = self.first_from(starts[user], user)
        first = first[first >= 0]
        np.add.at(drawn, self.group_start[first], 1.0 / (self.group_stop[first] - first))
        share = np.bincount(self.item, weights=drawn[self.group_start], minlength=items)
        whole: NDArray[np.float64] = share / max(share.sum(), 1.0)
        return whole

    def _past_equal_time(
        self, found: NDArray[np.int64], user: NDArray[np.int32], time: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        inside = np.minimum(found, len(self) - 1)
        same = (found < len(self)) & (self.user[inside] == user) & (self.time[inside] == time)
        return np.where(same, self.group_stop[inside], found)

    def _of_user(self, found: NDArray[np.int64], user: NDArray[np.int32]) -> NDArray[np.int64]:
        inside = np.minimum(found, len(self) - 1)
        theirs = (found < len(self)) & (self.user[inside] == user)
        return np.where(theirs, found, -1)


def _had_before(user: NDArray[np.int32], item: NDArray[np.int32], time: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether a user had the item at a strictly earlier time; arrays ``[targets]``, by (user, time)."""
    order = np.lexsort((time, item, user))
    same = (user[order][1:] == user[order][:-1]) & (item[order][1:] == item[order][:-1])
    starts = np.flatnonzero(np.append(True, ~same))
    earliest = np.repeat(time[order][starts], np.diff(np.append(starts, len(order))))
    before = np.zeros(len(user), dtype=bool)
    before[order] = time[order] > earliest
    return before
