"""Splits: four windows in a row - towers, ranker, validation, test - and where each cuts a user's history.

With the ``time`` split the windows are the same for all users and end with the log. With ``leave_last_out`` a
user's last group of target events is the test, the one before it the validation, and for a share of users, by hash,
the one before that is given to the ranker. Events of one (user, time) are one group and are never parted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.columns import DAY
from commerce.histories import Histories
from configs.errors import InputError

WINDOWS = ("ranker", "validation", "test")
"""Windows with requests, in order of time; the towers' comes before them."""


@dataclass(frozen=True)
class Moments:
    """Moments at which lists are asked for, all arrays ``[moments]``; ``window`` indexes ``WINDOWS``."""

    user: NDArray[np.int32]
    time: NDArray[np.int64]
    window: NDArray[np.int8]
    query: NDArray[np.int32]
    session: NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Where windows begin.

    ``cuts[w]`` is int64 ``[users]``: the absolute position in the histories before which a user's events precede
    window w, so that they may be trained on or counted for it.
    """

    cuts: dict[str, NDArray[np.int64]]
    starts: dict[str, int]
    """Window -> its first microsecond, of the ``time`` split; empty for ``leave_last_out``."""

    def learned(self, histories: Histories, learners: NDArray[np.bool_]) -> dict[str, NDArray[np.int64]]:
        """Return window -> where what may be learned or counted for it ends, int64 ``[users]``.

        Of a learner that is the cut; of anybody else, the start of their history.

        Args:
            histories: all events.
            learners: ``[users]``.
        """
        return {name: np.where(learners, cut, histories.offsets[:-1]) for name, cut in self.cuts.items()}

    def window_of(self, histories: Histories) -> NDArray[np.int8]:
        """Return the window of each history position, int8 ``[events]``: -1 towers, else the place in ``WINDOWS``."""
        window = np.full(len(histories.time), -1, dtype=np.int8)
        position = np.arange(len(window))
        counts = np.diff(histories.offsets)
        for place, name in enumerate(WINDOWS):
            window[position >= np.repeat(self.cuts[name], counts)] = place
        return window


def split_by_time(histories: Histories, last: int, days: Sequence[float]) -> Split:
    """Cut at moments common to all users.

    Args:
        histories: all events.
        last: time of the log's last event; the test window ends just after it.
        days: lengths of the ranker, validation and test windows.

    Raises:
        InputError: if nothing is left for the towers.
    """
    end = last + 1
    starts = {}
    for name, length in reversed(list(zip(WINDOWS, days, strict=True))):
        end -= round(length * DAY)
        starts[name] = end
    first = int(histories.time.min())
    if end <= first:
        span = (last - first) / DAY
        raise InputError(
            f"the log spans {span:.1f} days, but the ranker, validation and test windows take {sum(days):g}; "
            "shorten prepare.ranker_days, prepare.validation_days and prepare.test_days"
        )
    users = np.arange(histories.users)
    cuts = {name: ends_before(histories, users, np.full(len(users), starts[name])) for name in WINDOWS}
    return Split(cuts, {name: starts[name] for name in WINDOWS})


def split_by_last(
    histories: Histories, is_target: NDArray[np.bool_], gives_ranker: NDArray[np.bool_]
) -> tuple[Split, Moments]:
    """Cut each user's history before its last groups of target events.

    A user needs one earlier group of targets for each window: with two groups there is only a test, with three a
    validation too.

    Args:
        histories: all events.
        is_target: ``[events]``.
        gives_ranker: ``[users]``: whether the third-last group goes to the ranker and is withheld from the towers.

    Returns: the split and the moment of each held-out group.
    """
    position = np.flatnonzero(is_target)
    owners = np.searchsorted(histories.offsets, position, side="right") - 1
    times = histories.time[position]
    starts_group = np.ones(len(position), dtype=bool)
    starts_group[1:] = (owners[1:] != owners[:-1]) | (times[1:] != times[:-1])
    user, time = owners[starts_group], times[starts_group]
    groups = np.bincount(user, minlength=histories.users)
    from_end = np.cumsum(groups)[user] - 1 - np.arange(len(user))

    cuts, moments = {}, []
    later = histories.offsets[1:].astype(np.int64)
    for place, name in reversed(list(enumerate(WINDOWS))):
        left_out = len(WINDOWS) - 1 - place
        held = (from_end == left_out) & (groups[user] >= left_out + 2)
        if name == "ranker":
            held &= gives_ranker[user]
        cut = later.copy()
        cut[user[held]] = ends_before(histories, user[held], time[held])
        cuts[name] = later = cut
        moments.append((user[held], time[held], np.full(held.sum(), place)))
    users, moment, window = (np.concatenate(part) for part in zip(*reversed(moments), strict=True))
    nothing = np.full(len(users), -1)
    return Split({name: cuts[name] for name in WINDOWS}, {}), Moments(
        users.astype(np.int32), moment, window.astype(np.int8), nothing.astype(np.int32), nothing
    )


def ends_before(histories: Histories, user: NDArray[np.integer], moment: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for each (user, moment) pair, the absolute position where the strictly earlier events end.

    All pairs are bisected at once.
    """
    low: NDArray[np.int64] = histories.offsets[user].astype(np.int64)
    high = histories.offsets[np.asarray(user) + 1].astype(np.int64)
    while np.any(open_ := low < high):
        middle = (low + high) // 2
        earlier = np.zeros(len(low), dtype=bool)
        earlier[open_] = histories.time[middle[open_]] < moment[open_]
        low = np.where(open_ & earlier, middle + 1, low)
        high = np.where(open_ & ~earlier, middle, high)
    return low


def share_by_hash(ids: Sequence[str], seed: int, purpose: str, share: float) -> NDArray[np.bool_]:
    """Return ``[ids]``: whether each id falls into a share of all; as ``drawn_by_hash``."""
    chosen: NDArray[np.bool_] = drawn_by_hash(ids, seed, purpose) < share
    return chosen


def drawn_by_hash(ids: Sequence[str], seed: int, purpose: str) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each id, the same in every run with this seed, float64 ``[ids]``.

    ``purpose`` keeps one choice independent of another.
    """
    salt = hashlib.blake2b(f"{seed}:{purpose}".encode(), digest_size=16).digest()
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=8, salt=salt).digest() for text in ids)
    # The highest 53 bits, as a number in [0, 1) that float64 holds exactly.
    return (np.frombuffer(digests, dtype="<u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53
