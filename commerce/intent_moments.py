"""Moments with an intent label: what the intent head learns from, is calibrated on and is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, NO_INTENT, NO_QUERY
from commerce.histories import Histories
from commerce.records import Requests
from commerce.splits import Moments, ends_before


@dataclass(frozen=True)
class IntentMoments:
    """Labelled moments; arrays are ``[moments]``."""

    user: NDArray[np.int32]
    end: NDArray[np.int64]
    """Absolute position where the visible history ends."""
    time: NDArray[np.int64]
    """Microseconds; what is visible is strictly earlier."""
    query: NDArray[np.int32]
    """Code of what is asked for, ``NO_QUERY`` without."""
    label: NDArray[np.int8]
    """Code in ``INTENTS``."""

    def __len__(self) -> int:
        return len(self.user)

    def rows(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> IntentMoments:
        """Return some of them."""
        return IntentMoments(*(getattr(self, field.name)[rows] for field in fields(self)))

    def drawn(self, most: int, seed: int) -> IntentMoments:
        """Return at most so many, drawn evenly, in their order."""
        if len(self) <= most:
            return self
        return self.rows(np.sort(np.random.default_rng([seed, 3]).choice(len(self), most, replace=False)))

    def save(self, path: Path) -> None:
        """Write them as ``.npz``."""
        np.savez(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> IntentMoments:
        """Read what ``save`` wrote."""
        with np.load(path) as arrays:
            return cls(*(arrays[field.name] for field in fields(cls)))

    @classmethod
    def join(cls, parts: Sequence[IntentMoments]) -> IntentMoments:
        """Return several one after the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def asked_moments(histories: Histories, moments: Moments, label: NDArray[np.int8]) -> IntentMoments:
    """Return the labelled ones of moments at which a list is asked for: session starts and searches.

    Args:
        histories: of all users.
        moments: ``[moments]``.
        label: ``[moments]``, what followed each, ``NO_INTENT`` without.
    """
    end = ends_before(histories, moments.user, moments.time)
    found = IntentMoments(moments.user, end, moments.time, moments.query, label)
    return found.rows(label != NO_INTENT)


def of_requests(requests: Requests) -> IntentMoments:
    """Return the labelled requests as moments."""
    known = requests.intent != NO_INTENT
    moments = IntentMoments(
        requests.user, requests.history_end, requests.time, requests.query, requests.intent.astype(np.int8)
    )
    return moments.rows(known)


def moments_within(
    histories: Histories, begin: NDArray[np.int64], stop: NDArray[np.int64], label: NDArray[np.int8]
) -> IntentMoments:
    """Return the labelled moments in the midst of sessions: just after each event that is no search.

    Of events at one time, which are seen together, there is one moment.

    Args:
        histories: of all users.
        begin: ``[users]``, absolute position of the first event.
        stop: ``[users]``, one past the last.
        label: ``[events]``, what followed each event, ``NO_INTENT`` without.
    """
    counts = np.diff(histories.offsets)
    position = np.arange(len(label))
    inside = (position >= np.repeat(begin, counts)) & (position < np.repeat(stop, counts))
    place = np.flatnonzero(inside & (label != NO_INTENT) & (histories.action[:] != ACTION_CODES["search"]))
    user = np.searchsorted(histories.offsets, place, side="right") - 1
    after = histories.time[place] + 1
    end = ends_before(histories, user, after)
    _, first = np.unique(end, return_index=True)
    found = IntentMoments(
        user.astype(np.int32), end, after, np.full(len(place), NO_QUERY, dtype=np.int32), label[place]
    )
    return found.rows(first)
