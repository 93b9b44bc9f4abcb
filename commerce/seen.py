"""What users had before: items of their visible history with a target action, and the repeat rule made of it."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, NO_ITEM
from commerce.histories import Histories
from commerce.metrics import Relevant
from commerce.stretches import stretches

_BLOCK_REQUESTS = 4_096


def seen_pairs(
    histories: Histories, users: NDArray[np.integer], ends: NDArray[np.int64], actions: Collection[str]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return who had what: rows of ``users`` and items, ``[pairs]`` each, sorted, each pair once.

    Args:
        histories: of all users.
        users: ``[requests]``.
        ends: ``[requests]``, absolute position where each request's visible history ends.
        actions: those by which a user has an item: the target actions.
    """
    starts = histories.offsets[users]
    rows, place = stretches(starts, ends - starts)
    items = histories.item[place]
    had = np.isin(histories.action[place], [ACTION_CODES[action] for action in actions]) & (items != NO_ITEM)
    width = int(items.max(initial=0)) + 1
    # A sort and a look at the neighbour: three times as fast as np.unique here.
    keys = np.sort(rows[had] * width + items[had])
    keys = keys[np.diff(keys, prepend=-1) > 0]
    return keys // width, (keys % width).astype(np.int32)


def drop_seen(
    relevant: Relevant,
    histories: Histories,
    users: NDArray[np.integer],
    ends: NDArray[np.int64],
    actions: Collection[str],
) -> Relevant:
    """Return the relevant items that are new to their user; requests may end up with none."""
    keep = np.ones(len(relevant.items), dtype=bool)
    for start in range(0, len(users), _BLOCK_REQUESTS):
        stop = min(start + _BLOCK_REQUESTS, len(users))
        span = slice(int(relevant.offsets[start]), int(relevant.offsets[stop]))
        rows, had = seen_pairs(histories, users[start:stop], ends[start:stop], actions)
        width = int(max(had.max(initial=0), relevant.items[span].max(initial=0))) + 1
        keep[span] = ~np.isin((relevant.rows[span] - start) * width + relevant.items[span], rows * width + had)
    return relevant.only(keep)
