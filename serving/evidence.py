"""What speaks for an item at a moment, taken apart by kind: the search, this visit, earlier ones, the lasting taste.

Each piece of evidence can be taken away from a request, and the request asked again without it; what the item then
loses is what the evidence was worth (``serving.standing``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, NO_ITEM
from commerce.histories import Events

QUERY, VISIT, AGAIN, SHORTLIST, GOES_WITH, TASTE = "query", "visit", "again", "shortlist", "goes_with", "taste"
KINDS = (QUERY, VISIT, AGAIN, SHORTLIST, GOES_WITH, TASTE)
"""Kinds of evidence: the search terms; what was done on this visit; earlier purchases of the very item; what was looked
at on the last visit, which bought nothing; what the last visit bought; and all else that is known of the user."""
VISIT_GAP = 30 * 60 * 1_000_000
"""A pause longer than this, in microseconds, begins another visit, as ``prepare.session_gap_minutes`` has it."""


@dataclass(frozen=True)
class Evidence:
    """One piece: events of the history, the search terms, or the profile."""

    kind: str
    events: NDArray[np.int64]
    """Places in the visible events, ascending; empty for search terms."""
    profile: bool = False
    """Whether the user's declared features go with it."""


def gather(
    events: Events,
    moment: int,
    own: NDArray[np.integer],
    alike: Callable[[int], bool],
    *,
    query: bool,
    profile: bool,
) -> list[Evidence]:
    """Return the evidence there is; every visible event belongs to one piece.

    Args:
        events: visible at ``moment``, oldest first.
        moment: microseconds UTC.
        own: codes of the item and of its variants.
        alike: whether an item, by code, is of the item's leaf category.
        query: whether there are search terms.
        profile: whether declared features of the user are known.
    """
    visit = visits(events.time, moment)
    now, last = visit == 0, visit == visit[visit > 0].min(initial=np.iinfo(np.int64).max)
    its_own = np.isin(events.item, own)
    purchase = events.action == ACTION_CODES["purchase"]
    bought = bool((its_own & purchase & ~now).any())
    distinct = np.unique(events.item[last & (events.item != NO_ITEM)])
    same_leaf = np.isin(events.item, [item for item in distinct.tolist() if alike(item)])
    again = its_own & ~now & bought
    compared = ~now & ~again & (its_own | (last & same_leaf)) & ~(last & purchase).any()
    taken_home = np.unique(events.item[last & purchase & ~its_own & ~same_leaf])
    goes_with = last & np.isin(events.item, taken_home) & ~again & ~compared
    parts = {
        VISIT: now,
        AGAIN: again,
        SHORTLIST: compared,
        GOES_WITH: goes_with,
        TASTE: ~(now | again | compared | goes_with),
    }
    found = [Evidence(QUERY, np.empty(0, dtype=np.int64))] if query else []
    for kind, mask in parts.items():
        with_profile = profile and kind == TASTE
        if mask.any() or with_profile:
            found.append(Evidence(kind, np.flatnonzero(mask), with_profile))
    return found


def visits(time: NDArray[np.int64], moment: int) -> NDArray[np.int64]:
    """Return how many visits lie between each event and the moment, 0 for the running one, ``[events]``."""
    pauses = np.diff(time, append=np.int64(moment)) > VISIT_GAP
    counted: NDArray[np.int64] = np.cumsum(pauses[::-1])[::-1].astype(np.int64)
    return counted


def acts(events: Events, moment: int) -> list[NDArray[np.int64]]:
    """Return the events that belong together, places ascending: one item, or one search, of one visit.

    Taking a view away that a purchase of the same item follows would show nothing: they go together.
    """
    keys: dict[tuple[int, int, int], list[int]] = {}
    visit = visits(events.time, moment)
    for place in range(len(events)):
        item = int(events.item[place])
        key = (int(visit[place]), item, int(events.query[place]) if item == NO_ITEM else 0)
        keys.setdefault(key, []).append(place)
    return [np.array(places, dtype=np.int64) for places in keys.values()]


def without(events: Events, places: Sequence[int] | NDArray[np.integer]) -> Events:
    """Return the events without those at ``places``."""
    keep = np.ones(len(events), dtype=bool)
    keep[np.asarray(places, dtype=np.int64)] = False
    return Events(events.item[keep], events.action[keep], events.time[keep], events.query[keep])
