"""What is visible of a user at the moment of a request, in the bundle's codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from commerce.columns import ACTION_CODES, NO_ITEM
from commerce.histories import Events
from serving.query_book import QueryBook
from serving.requests import Event
from serving.strings import Strings
from serving.users import UserFeatures


@dataclass(frozen=True)
class Visible:
    """The user as the models will see them."""

    events: Events
    """Strictly before the moment, oldest first."""
    features: UserFeatures
    """``[1, columns]``; all missing for somebody unknown."""
    profile: str
    """The same in words, empty for somebody unknown."""
    known: bool
    """Whether the bundle or the caller told anything about the user."""
    notes: tuple[str, ...] = ()


def coded_events(
    events: Sequence[Event], moment: int, items: Strings, queries: QueryBook, actions: frozenset[str]
) -> tuple[Events, tuple[str, ...]]:
    """Return a caller's events in codes, and notes on what was left out.

    Args:
        events: in any order; those of one time keep the order given.
        moment: events that are not strictly earlier are left out.
        items: ids of the catalogue.
        queries: learns the search terms.
        actions: those that histories are made of; others are left out, as in training.
    """
    past = sorted((event for event in events if event.time < moment), key=lambda event: event.time)
    listed = [(event, items.code(event.item_id) if event.item_id else NO_ITEM) for event in past]
    unknown = [event.item_id for event, item in listed if event.item_id and item == NO_ITEM]
    kept = [
        (event, item) for event, item in listed if event.action in actions and not (event.item_id and item == NO_ITEM)
    ]
    notes = []
    if len(past) < len(events):
        notes.append(f"{len(events) - len(past)} of {len(events)} events are not before the moment and were left out")
    if unknown:
        notes.append(
            f"{len(unknown)} of {len(events)} events are of items the bundle does not know (first: {unknown[0]}) "
            "and were left out"
        )
    coded = Events(
        np.array([item for _, item in kept], dtype=np.int32),
        np.array([ACTION_CODES[event.action] for event, _ in kept], dtype=np.uint8),
        np.array([event.time for event, _ in kept], dtype=np.int64),
        np.array([queries.code(event.query) for event, _ in kept], dtype=np.int32),
    )
    return coded, tuple(notes)
