"""What the oracle holds likely about the session of a request: why the shopper came, and with which intent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.bazaar.catalogue import Catalogue
from commerce.bazaar.intents import BUY, COMPARE
from commerce.bazaar.planning import COMPLEMENT_LEAF, CONSUMABLE, REFILL_DAYS
from commerce.bazaar.queries import Meaning
from commerce.bazaar.reading import Journal
from commerce.bazaar.shoppers import INTENT_BASE
from commerce.bazaar.words import LEAVES
from commerce.columns import DAY, NO_QUERY
from commerce.records import Requests
from configs.schema import BazaarConfig

REASONS = ("repeat", "comparison", "complement", "taste")
REFILL, CLOSING, PAIR, FREE = range(len(REASONS))
HABIT_SESSIONS = 4.0
"""Sessions that the common shares of intents weigh against a shopper's own."""
OTHER_BRAND = 0.05
"""Chance of words that name another brand, or style, than the item that has run out."""


@dataclass(frozen=True)
class Belief:
    """About the sessions of requests; arrays are ``[requests]`` unless said."""

    weight: NDArray[np.float64]
    """``[requests, reasons, 3]`` joint probability of reason and intent."""
    topic: NDArray[np.int64]
    """``[requests, reasons]`` leaf under each reason, -1 where it is open."""
    informed: NDArray[np.float64]
    """Probability that the words mean what they say; 0 without words."""
    refill: NDArray[np.int64]
    """Item that may have run out, -1 without."""
    before: NDArray[np.int64]
    """Row of the session before this one in the journal, -1 without."""

    @property
    def without_intents(self) -> NDArray[np.float64]:
        """``weight`` of whoever holds the same reasons likely and under each of them the common shares of intents."""
        common = np.tile(np.exp(INTENT_BASE), (len(REASONS), 1))
        common[[REFILL, CLOSING]] = np.eye(3)[BUY]  # who comes back to buy does
        weight: NDArray[np.float64] = self.weight.sum(axis=2, keepdims=True) * common
        return weight


class Beliefs:
    """Reads a journal once and then judges requests on it."""

    def __init__(self, journal: Journal, catalogue: Catalogue, meaning: Meaning, config: BazaarConfig) -> None:
        self._journal, self._catalogue, self._meaning, self._config = journal, catalogue, meaning, config
        sessions = journal.sessions
        count = len(sessions.first)
        shape = journal.shape(np.arange(count), sessions.end, ongoing=False)
        self._intent = _normal(INTENT_BASE + config.intents * (journal.opening(sessions.query) + shape))
        self._habit, self._free = self._running_habits()
        row = np.arange(count)
        filled = (sessions.bought >= 0) & CONSUMABLE[catalogue.leaf[sessions.bought]]
        self._filled = np.maximum.accumulate(np.where(filled, row, -1)) if count else row

    def judge(self, requests: Requests, rows: NDArray[np.int64], tastes: NDArray[np.float64]) -> Belief:
        """Judge the requests at ``rows``; ``tastes`` is ``[rows, leaves]``, log weights of leaves."""
        sessions, config = self._journal.sessions, self._config
        end, time = requests.history_end[rows], requests.time[rows]
        last = np.searchsorted(sessions.first, end, side="left") - 1
        own = (last >= 0) & (sessions.user[last] == requests.user[rows])
        ongoing = own & (sessions.session[last] == requests.session[rows])
        before = np.where(ongoing, last - 1, last)
        own = (before >= 0) & (sessions.user[before] == requests.user[rows])
        before = np.where(own, before, -1)
        query = np.where(ongoing, sessions.query[last], requests.query[rows])

        refill, due = self._refill(before, time)
        unpaid = own & (sessions.bought[before] < 0)
        closing = (1 - due) * unpaid * self._intent[before, COMPARE] * config.funnel
        pair = (1 - due - closing) * (own & ~unpaid) * config.complements
        reason = np.stack([due, closing, pair, 1 - due - closing - pair], axis=1)
        topic = np.full((len(rows), len(REASONS)), -1, dtype=np.int64)
        topic[:, REFILL] = np.where(refill >= 0, self._catalogue.leaf[refill], -1)
        topic[:, CLOSING] = np.where(unpaid, sessions.leaf[before], -1)
        topic[:, PAIR] = np.where(own & ~unpaid, COMPLEMENT_LEAF[self._catalogue.leaf[sessions.bought[before]]], -1)

        mood = self._mood(before)
        forced = np.eye(3)[BUY]
        joint = reason[:, :, None] * np.stack([*(np.tile(forced, (len(rows), 1)),) * 2, mood, mood], axis=1)
        acts = self._journal.opening(query)
        acts[ongoing] += self._journal.shape(last[ongoing], end[ongoing], ongoing=True)
        joint *= np.exp(config.intents * (acts - acts.max(axis=1, keepdims=True)))[:, None, :]
        says, informed = self._words(query, topic, refill, _normal(tastes))
        joint *= says[:, :, None]
        total = joint.sum(axis=(1, 2))
        return Belief(
            weight=joint / total[:, None, None],
            topic=topic,
            informed=(joint.sum(axis=2) * informed).sum(axis=1) / total,
            refill=refill,
            before=before,
        )

    def _running_habits(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return, from each user's first session on, the sum of intents of the free ones, and how many were free."""
        sessions, config = self._journal.sessions, self._config
        follows = np.zeros(len(sessions.user))
        same = (sessions.user[1:] == sessions.user[:-1]) & (sessions.leaf[1:] == sessions.leaf[:-1])
        follows[1:] = same * (sessions.bought[:-1] < 0) * self._intent[:-1, COMPARE] * (config.funnel > 0)
        free = 1.0 - follows * self._intent[:, BUY]
        begins = np.ones(len(free), dtype=bool)
        begins[1:] = sessions.user[1:] != sessions.user[:-1]
        owner = np.maximum.accumulate(np.where(begins, np.arange(len(free)), 0)) if len(free) else np.arange(0)
        habit = np.cumsum(free[:, None] * self._intent, axis=0)
        frees = np.cumsum(free)
        return (
            habit - habit[owner] + free[owner, None] * self._intent[owner],
            frees - frees[owner] + free[owner],
        )

    def _mood(self, before: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of each intent in a shopper's free sessions, ``[requests, 3]``, drawn towards the common."""
        known = (before >= 0)[:, None]
        habit: NDArray[np.float64] = np.where(known, self._habit[before], 0.0) + HABIT_SESSIONS * np.exp(INTENT_BASE)
        habit /= np.where(known, self._free[before, None], 0.0) + HABIT_SESSIONS
        return habit

    def _refill(
        self, before: NDArray[np.int64], time: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the item in use, -1 without, and the probability that it ran out just now and is bought again."""
        sessions, repeats = self._journal.sessions, self._config.repeats
        row = np.where(before >= 0, self._filled[before], -1)
        known = (row >= 0) & (sessions.user[row] == sessions.user[before])
        out_now = _share_used_up((time - sessions.start[row]) / DAY)
        out_before = _share_used_up((sessions.start[before] - sessions.start[row]) / DAY)
        # It may have run out before an earlier session, which then did not buy it again: the item is forgotten.
        still = 1.0 - out_before * repeats
        chance = repeats * (out_now - out_before) / np.maximum(still, 1e-9)
        return np.where(known, sessions.bought[row], -1), np.where(known, chance, 0.0)

    def _words(
        self,
        query: NDArray[np.int64],
        topic: NDArray[np.int64],
        refill: NDArray[np.int64],
        leaf_share: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return, ``[requests, reasons]``, the probability of the words' leaf and that the words mean what they say."""
        leaf, brand, style = (part[query] for part in (self._meaning.leaf, self._meaning.brand, self._meaning.style))
        understood = (query != NO_QUERY) & (leaf >= 0)
        meant = (topic == leaf[:, None]).astype(np.float64)
        meant[:, FREE] = leaf_share[np.arange(len(leaf)), leaf]
        fits = (brand < 0) | (brand == self._catalogue.brand[refill])
        fits &= (style < 0) | (style == self._catalogue.style[refill])
        meant[:, REFILL] *= np.where(fits, 1.0, OTHER_BRAND)
        honest, random = self._config.queries * meant, (1.0 - self._config.queries) / len(LEAVES)
        says = np.where(understood[:, None], honest + random + 1e-12, 1.0)
        return says, np.where(understood[:, None], honest / says, 0.0)


def _share_used_up(days: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip((days - REFILL_DAYS[0]) / (REFILL_DAYS[1] - REFILL_DAYS[0]), 0.0, 1.0)


def _normal(log: NDArray[np.float64]) -> NDArray[np.float64]:
    weight: NDArray[np.float64] = np.exp(log - log.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    return weight
