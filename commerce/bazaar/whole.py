"""A whole bazaar in memory, for statistics: a shop of test size, not one that has to be streamed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.bazaar.catalogue import Catalogue, build_catalogue
from commerce.bazaar.streams import Streams
from commerce.bazaar.writer import generate
from commerce.columns import ACTION_CODES
from configs.schema import BazaarConfig

Columns = dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Shop:
    """A whole bazaar in memory, for statistics."""

    config: BazaarConfig
    catalogue: Catalogue
    events: Columns
    """As ``log.EVENT_COLUMNS``."""
    sessions: Columns
    """As ``log.SESSION_COLUMNS``: the hidden truth."""
    first: Columns
    """For each session: ``item`` of its first view (-1 without), ``leaf`` of it, ``bought`` item (-1 without)."""

    def of(self, action: str, sessions: NDArray[np.bool_] | None = None) -> Columns:
        """Return the events of shoppers, false accounts left out, with an action.

        ``sessions``, ``[sessions]``, keeps those of some sessions.
        """
        keep = (self.events["action"] == ACTION_CODES[action]) & (self.events["user"] < self.config.users)
        if sessions is not None:
            keep &= np.isin(session_key(self.events), session_key(self.sessions)[sessions])
        return {name: column[keep] for name, column in self.events.items()}

    def followed(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows of sessions that another one of the shopper follows, and the rows of those."""
        user = self.sessions["user"]
        row = np.flatnonzero(user[1:] == user[:-1])
        return row, row + 1


def open_shop(config: BazaarConfig) -> Shop:
    """Generate a bazaar in memory."""
    streams = Streams(config.seed)
    catalogue = build_catalogue(config, streams)
    parts = list(generate(catalogue, config, streams))
    events = {name: np.concatenate([part.events[name] for part in parts]) for name in parts[0].events}
    sessions = {name: np.concatenate([part.sessions[name] for part in parts]) for name in parts[0].sessions}
    key = session_key(sessions)
    where = np.searchsorted(key, session_key(events))
    where[events["user"] >= config.users] = len(key)
    first = {name: np.full(len(key) + 1, -1, dtype=np.int64) for name in ("item", "bought")}
    views = np.flatnonzero(events["action"] == ACTION_CODES["view"])[::-1]
    first["item"][where[views]] = events["item"][views]
    paid = events["action"] == ACTION_CODES["purchase"]
    first["bought"][where[paid]] = events["item"][paid]
    first = {name: column[:-1] for name, column in first.items()}
    first["leaf"] = np.where(first["item"] >= 0, catalogue.leaf[first["item"]], -1)
    return Shop(config, catalogue, events, sessions, first)


def session_key(columns: Columns) -> NDArray[np.int64]:
    """Return one number per (user, session)."""
    return columns["user"] * 100 + columns["session"]
