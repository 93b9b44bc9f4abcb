"""What is kept from being told about a user: items of sensitive categories, and searches that hardly anybody typed.

Counts and vectors may know of them; no text, tag or explanation does. NumPy only, since serving asks too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM, NO_QUERY
from commerce.histories import Events, Histories

_BLOCK_USERS = 20_000


def category_levels(path: Any) -> tuple[str, ...]:
    """Return the levels of a category path (``Health > Tests``), in one case, without white space around them."""
    if path is None or path != path:  # NaN, as pandas writes an absent text
        return ()
    return tuple(level for part in str(path).split(" > ") if (level := " ".join(part.casefold().split())))


def in_categories(path: Any, names: Sequence[str]) -> bool:
    """Return whether a category path goes through one of ``names``: a level, or levels that follow each other."""
    levels = category_levels(path)
    for name in names:
        wanted = category_levels(name)
        places = range(len(levels) - len(wanted) + 1)
        if wanted and any(levels[place : place + len(wanted)] == wanted for place in places):
            return True
    return False


def tellable(events: Events, sensitive: NDArray[np.bool_] | None) -> Events:
    """Return the events that may be told of: none with a sensitive item, nor the search that led to one.

    Args:
        events: of one user, oldest first.
        sensitive: ``[items]``; None where no category is.

    A search led to what its user met after it, up to the next search, as in ``commerce.search_terms``.
    """
    if sensitive is None or not len(events):
        return events
    hidden = (events.item != NO_ITEM) & sensitive[np.maximum(events.item, 0)]
    if not hidden.any():
        return events
    asked = (events.item == NO_ITEM) & (events.query != NO_QUERY)
    stretch = np.cumsum(asked)
    keep = ~hidden & ~(asked & np.isin(stretch, stretch[hidden]))
    return Events(events.item[keep], events.action[keep], events.time[keep], events.query[keep])


def users_of_queries(histories: Histories, queries: int) -> NDArray[np.int32]:
    """Return how many different users typed each query, ``[queries]``, as far as histories tell."""
    counts = np.zeros(queries, dtype=np.int32)
    for first in range(0, histories.users, _BLOCK_USERS):
        last = min(first + _BLOCK_USERS, histories.users)
        span = slice(int(histories.offsets[first]), int(histories.offsets[last]))
        user = np.repeat(np.arange(last - first), np.diff(histories.offsets[first : last + 1]))
        query = np.asarray(histories.query[span]).astype(np.int64)
        asked = query != NO_QUERY
        pairs = np.unique(user[asked] * max(queries, 1) + query[asked])
        counts += np.bincount(pairs % max(queries, 1), minlength=queries).astype(np.int32)
    return counts


def told_queries(texts: Sequence[str], users: NDArray[np.integer], least: int) -> list[str]:
    """Return the search terms that may be told, by code: empty where fewer than ``least`` users typed them."""
    return [text if count >= least else "" for text, count in zip(texts, users.tolist(), strict=True)]
