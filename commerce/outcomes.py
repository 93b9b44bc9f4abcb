"""What became of items that were put before users: which of them were viewed, put into the cart, bought.

An event belongs to the last time before it that its user, or session, was shown its item: an item shown twice and
bought once was bought from the second list.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from commerce.requests import last_before

OUTCOMES = ("view", "cart", "purchase")
"""Actions that probabilities are told of, in this order."""


def outcomes(
    owner: NDArray[np.integer],
    item: NDArray[np.integer],
    time: NDArray[np.int64],
    event_owner: NDArray[np.integer],
    event_item: NDArray[np.integer],
    event_time: NDArray[np.int64],
    event_action: NDArray[np.integer],
    actions: Sequence[int],
    *,
    inclusive: bool,
) -> NDArray[np.bool_]:
    """Return whether each action followed, bool ``[exposures, actions]``.

    Args:
        owner: ``[exposures]``: session or user to whom the item was shown.
        item: ``[exposures]``.
        time: ``[exposures]``, microseconds.
        event_owner: ``[events]``, of the same kind.
        event_item: ``[events]``.
        event_time: ``[events]``.
        event_action: ``[events]``, codes.
        actions: codes that are asked for.
        inclusive: whether an event at the very moment counts.
    """
    width = int(max(item.max(initial=0), event_item.max(initial=0))) + 1
    asked = np.isin(event_action, list(actions)) & (event_item >= 0)
    row = last_before(
        owner.astype(np.int64) * width + item,
        time,
        event_owner[asked].astype(np.int64) * width + event_item[asked],
        event_time[asked],
        inclusive=inclusive,
    )
    happened = np.zeros((len(item), len(actions)), dtype=bool)
    for column, action in enumerate(actions):
        of_action = row[(row >= 0) & (event_action[asked] == action)]
        happened[of_action, column] = True
    return happened
