"""Moments at which an intent is asked for, and what it turned out to be: what the intent head learns from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, NO_INTENT
from commerce.histories import Histories


@dataclass(frozen=True)
class IntentMoments:
    """Labelled moments of the towers' window; arrays are ``[moments]``."""

    user: NDArray[np.int32]
    end: NDArray[np.int64]
    """Absolute position where the visible history ends."""
    label: NDArray[np.int64]
    """Code in ``INTENTS``."""

    def __len__(self) -> int:
        return len(self.user)


def intent_moments(
    histories: Histories, cuts: NDArray[np.int64], labels: NDArray[np.int8], most: int, seed: int
) -> IntentMoments:
    """Return session starts and searches with a label: the moments at which lists are asked for.

    At a session's start nothing of it is visible and the label is its first event's; after a search the search is.

    Args:
        histories: of all users.
        cuts: ``[users]``, absolute position where what may be trained on ends.
        labels: int8 ``[events]``, what the rest of the session showed after each event, ``NO_INTENT`` without.
        most: moments at most, drawn evenly.
        seed: of the draw.
    """
    position = np.arange(len(labels))
    user = (np.searchsorted(histories.offsets, position, side="right") - 1).astype(np.int32)
    labelled = (labels != NO_INTENT) & (position < cuts[user])
    first = np.ones(len(labels), dtype=bool)
    first[1:] = (user[1:] != user[:-1]) | (histories.session[1:] != histories.session[:-1])
    starts = np.flatnonzero(labelled & first)
    searches = np.flatnonzero(labelled & (histories.action[:] == ACTION_CODES["search"]))
    place, end = np.append(starts, searches), np.append(starts, searches + 1)
    if len(place) > most:
        kept = np.sort(np.random.default_rng([seed, 3]).choice(len(place), most, replace=False))
        place, end = place[kept], end[kept]
    return IntentMoments(user[place], end, labels[place].astype(np.int64))
