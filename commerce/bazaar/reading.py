"""How the oracle reads histories: where sessions lie, and what their shape says about their intent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.bazaar import intents
from commerce.bazaar.catalogue import Catalogue
from commerce.bazaar.queries import Meaning
from commerce.columns import ACTION_CODES, NO_QUERY
from commerce.histories import Histories

_SEVERAL, _FOCUSED = -6.0, -3.0
"""Log odds against a topic when views of a feed lie in several leaves, and against a feed when all lie in one."""


@dataclass(frozen=True)
class Sessions:
    """All sessions of the histories in order of (user, time); arrays are ``[sessions]``."""

    user: NDArray[np.int64]
    session: NDArray[np.int64]
    """Code as in the histories."""
    first: NDArray[np.int64]
    """Absolute position of the first event."""
    end: NDArray[np.int64]
    start: NDArray[np.int64]
    """Time of the first event."""
    leaf: NDArray[np.int64]
    """Leaf of the first view, -1 without views."""
    query: NDArray[np.int64]
    """Query that the session opens with, ``NO_QUERY`` without."""
    bought: NDArray[np.int64]
    """Item bought, -1 without."""


class Journal:
    """Histories as the oracle reads them. Item codes are those of the catalogue, query codes those of ``meaning``.

    Attributes:
        sessions: every session.
        viewed: item of each view, -1 at other events; ``[events]``.
    """

    def __init__(self, histories: Histories, item: NDArray[np.int64], catalogue: Catalogue, meaning: Meaning) -> None:
        action = np.asarray(histories.action)
        users = np.repeat(np.arange(histories.users), np.diff(histories.offsets))
        self.viewed = np.where(action == ACTION_CODES["view"], item, -1)
        self.sessions = _sessions(histories, users, self.viewed, item, catalogue)
        number = np.repeat(np.arange(len(self.sessions.first)), self.sessions.end - self.sessions.first)
        leaf = catalogue.leaf[self.viewed]
        elsewhere = (self.viewed >= 0) & (leaf != self.sessions.leaf[number])
        self._meaning = meaning
        self._views = _running(self.viewed >= 0)
        self._elsewhere = _running(elsewhere)
        self._favorites = _running(action == ACTION_CODES["favorite"])
        self._carts = _running(action == ACTION_CODES["cart"])
        self._purchases = _running(action == ACTION_CODES["purchase"])

    def opening(self, query: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the log probability of opening with each query (or with none) under each intent, ``[queries, 3]``."""
        searched = (query != NO_QUERY)[:, None]
        brand, style = (self._meaning.brand[query] >= 0)[:, None], (self._meaning.style[query] >= 0)[:, None]
        words = _log_rate(brand, intents.NAMES_BRAND) + _log_rate(style, intents.NAMES_STYLE)
        return _log_rate(searched, intents.SEARCH) + np.where(searched, words, 0.0)

    def shape(self, row: NDArray[np.int64], end: NDArray[np.int64], *, ongoing: bool) -> NDArray[np.float64]:
        """Return the log probability of what was done in sessions under each intent, ``[sessions, 3]``.

        Args:
            row: rows of ``sessions``.
            end: absolute position up to which each is visible.
            ongoing: a second search has come, and the visible part is the first list; else the sessions are over.
        """
        first = self.sessions.first[row]
        views, favorites = self._views[end] - self._views[first], self._favorites[end] - self._favorites[first]
        log: NDArray[np.float64] = np.log(_click_table(second=ongoing))[np.minimum(views, 2 * intents.MOST_CLICKS)]
        feed = self.sessions.query[row] == NO_QUERY
        several = feed & (self._elsewhere[end] > self._elsewhere[first])
        focused = feed & (views > 1) & ~several
        log[several, intents.COMPARE] += _SEVERAL
        log[several, intents.BUY] += _SEVERAL
        log[focused, intents.BROWSE] += _FOCUSED
        unmarked = np.maximum(views - favorites, 0)[:, None]
        log += favorites[:, None] * np.log(intents.FAVORITE) + unmarked * np.log1p(-intents.FAVORITE)
        if not ongoing:
            carted = (self._carts[end] > self._carts[first])[:, None]
            paid = (self._purchases[end] > self._purchases[first])[:, None]
            log += _log_rate(carted, intents.CART) + np.where(carted, _log_rate(paid, intents.PURCHASE), 0.0)
        return log


def _sessions(
    histories: Histories,
    users: NDArray[np.int64],
    viewed: NDArray[np.int64],
    item: NDArray[np.int64],
    catalogue: Catalogue,
) -> Sessions:
    action, session = np.asarray(histories.action), np.asarray(histories.session)
    begins = np.ones(len(users), dtype=bool)
    begins[1:] = (users[1:] != users[:-1]) | (session[1:] != session[:-1])
    first = np.flatnonzero(begins)
    number = np.cumsum(begins) - 1
    leaf = np.full(len(first), -1, dtype=np.int64)
    views = np.flatnonzero(viewed >= 0)[::-1]  # backwards, so that the first view is written last
    leaf[number[views]] = catalogue.leaf[viewed[views]]
    bought = np.full(len(first), -1, dtype=np.int64)
    paid = action == ACTION_CODES["purchase"]
    bought[number[paid]] = item[paid]
    searched = action[first] == ACTION_CODES["search"]
    return Sessions(
        user=users[first],
        session=session[first],
        first=first,
        end=np.append(first[1:], len(users)),
        start=np.asarray(histories.time)[first],
        leaf=leaf,
        query=np.where(searched, np.asarray(histories.query)[first], NO_QUERY).astype(np.int64),
        bought=bought,
    )


def _click_table(*, second: bool) -> NDArray[np.float64]:
    """Return the probability of each number of views under each intent, ``[2 * MOST_CLICKS + 1, 3]``.

    ``second``: of the first of two lists, together with there being a second; else of the whole session.
    """
    table = np.full((2 * intents.MOST_CLICKS + 1, 3), 1e-4)
    for intent, (low, span) in enumerate(zip(intents.FEWEST_CLICKS, intents.SPAN_CLICKS, strict=True)):
        one = np.zeros(intents.MOST_CLICKS + 1)
        one[low : low + span] = 1.0 / span
        more = intents.SECOND_LIST[intent]
        if second:
            table[: len(one), intent] += more * one
        else:
            table[: len(one), intent] += (1.0 - more) * one
            table[:, intent] += more * np.convolve(one, one)
    return table


def _running(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many flags stand before each place, ``[events + 1]``."""
    return np.concatenate([[0], np.cumsum(flags)])


def _log_rate(flag: NDArray[np.bool_], rate: NDArray[np.float64]) -> NDArray[np.float64]:
    kept = np.clip(rate, 1e-3, 1 - 1e-3)
    return np.where(flag, np.log(kept), np.log1p(-kept))
