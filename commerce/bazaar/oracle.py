"""The oracle of the bazaar: what is reachable by whoever knows how the shop works, but sees only the history.

It knows the generator: the catalogue, the rates of each intent, the strength of each habit, the priors of what
shoppers like. It does not know a shopper's likings, the intent of a session or any noise; it estimates them from the
events strictly before the request and from the current search words, and ranks the available items by expected gain.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from commerce.bazaar import intents
from commerce.bazaar.beliefs import CLOSING, FREE, PAIR, REFILL, Belief, Beliefs
from commerce.bazaar.catalogue import build_catalogue
from commerce.bazaar.estimates import estimate_likings, estimate_tastes
from commerce.bazaar.expectations import Worth
from commerce.bazaar.lists import MATCH_BONUS, NAMED_BONUS, SELLER_BONUS
from commerce.bazaar.planning import REFILL_BONUS, SHORTLIST_BONUS, WANTED
from commerce.bazaar.queries import understand
from commerce.bazaar.reading import Journal
from commerce.bazaar.shoppers import LIST_KNOWLEDGE, common_utility, draw_profiles, intent_taste
from commerce.bazaar.streams import Streams
from commerce.bazaar.words import LEAVES
from commerce.columns import INTENTS, NO_ITEM, NO_QUERY
from commerce.histories import Histories
from commerce.records import Requests
from commerce.stretches import stretches
from configs.errors import InputError
from configs.schema import BazaarConfig

BLOCK = 512
"""Requests ranked at once."""
WORTH = np.array([1.5, 1.5, 1.0])
"""Items' worth of ideal DCG that a list of each intent has to give: some views of .2 each, or one purchase of 1."""


class Oracle:
    """Ranks items, and tells intents, for requests on a bazaar.

    Args:
        config: the shop's.
        item_ids: outside id of each item code.
        user_ids: outside id of each user code.
        queries: text of each query code.
        tells_intents: whether it weighs why somebody came by what is visible; else every request has the shop's common
            shares of intents, whatever the shopper did. What a ranker that does not know intents could reach.

    Raises:
        InputError: if the ids are not those of this shop.
    """

    def __init__(
        self,
        config: BazaarConfig,
        item_ids: Sequence[str],
        user_ids: Sequence[str],
        queries: Sequence[str],
        *,
        tells_intents: bool = True,
    ) -> None:
        self._number = np.array([int(item[1:]) for item in item_ids], dtype=np.int64)
        if not np.array_equal(np.sort(self._number), np.arange(config.items)):
            raise InputError(
                f"the oracle knows a bazaar of {config.items} items, but {len(item_ids)} ids came that are not "
                "all its own; give it the section bazaar of the config that the log was made from"
            )
        self._config, self._tells_intents = config, tells_intents
        self._streams = Streams(config.seed)
        self._catalogue = build_catalogue(config, self._streams)
        self._common = common_utility(self._catalogue, config)
        self._leaning = intent_taste(np.arange(len(INTENTS)), np.arange(config.items), self._catalogue, config)
        self._seller = config.seller_groups * SELLER_BONUS[self._catalogue.seller_group]
        self._shopper = np.array([int(user[1:] or 0) for user in user_ids], dtype=np.int64)
        self._meaning = understand([*queries, ""])  # no query, code -1, is the last

    def rank(self, histories: Histories, requests: Requests, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the best ``k`` available items of each request and their scores, ``[requests, k]``, -1 padded."""
        items = np.full((len(requests), k), NO_ITEM, dtype=np.int32)
        scores = np.full((len(requests), k), -np.inf, dtype=np.float32)
        journal, beliefs = self._read(histories)
        for rows in _blocks(len(requests)):
            score = self._score(journal, beliefs, histories, requests, rows)[:, self._number].astype(np.float32)
            best = np.argsort(-score, axis=1, kind="stable")[:, :k]
            top = np.take_along_axis(score, best, axis=1)
            items[rows, : best.shape[1]] = np.where(np.isfinite(top), best, NO_ITEM)
            scores[rows, : best.shape[1]] = top
        return items, scores

    def intents(self, histories: Histories, requests: Requests) -> NDArray[np.float32]:
        """Return the probability of each label of ``commerce.intent`` given what is visible, ``[requests, 3]``."""
        journal, beliefs = self._read(histories)
        intent = np.zeros((len(requests), 3), dtype=np.float32)
        for rows in _blocks(len(requests)):
            tastes = self._tastes(journal, histories, requests, rows)
            meant = beliefs.judge(requests, rows, tastes).weight.sum(axis=1)
            searched = (requests.query[rows] != NO_QUERY)[:, None]
            intent[rows] = np.where(searched, meant @ _labels(0.0), meant @ _labels(self._config.intent_relevance))
        return intent

    def _read(self, histories: Histories) -> tuple[Journal, Beliefs]:
        code = np.asarray(histories.item)
        item = np.where(code >= 0, self._number[code], -1)
        journal = Journal(histories, item, self._catalogue, self._meaning)
        return journal, Beliefs(journal, self._catalogue, self._meaning, self._config)

    def _tastes(
        self, journal: Journal, histories: Histories, requests: Requests, rows: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the estimated log weight of each leaf, ``[rows, leaves]``."""
        owner, position = _visible(histories, requests, rows)
        viewed = journal.viewed[position]
        seen = viewed >= 0
        triples = np.stack([owner[seen], histories.session[position[seen]], self._catalogue.leaf[viewed[seen]]])
        triples = np.unique(triples, axis=1)  # a session is one visit of a leaf, however much it viewed there
        visits = np.zeros((len(rows), len(LEAVES)), dtype=np.float32)
        np.add.at(visits, (triples[0], triples[2]), 1.0)
        profiles = draw_profiles(self._shopper[requests.user[rows]], self._config, self._streams)
        return estimate_tastes(visits, profiles, self._config, self._streams).astype(np.float64)

    def _likings(
        self, journal: Journal, histories: Histories, requests: Requests, rows: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the estimated own liking of each item, ``[rows, items]``, -inf where it is not available."""
        owner, position = _visible(histories, requests, rows)
        viewed = journal.viewed[position]
        seen = viewed >= 0
        counts = np.zeros((len(rows), len(self._catalogue)), dtype=np.float32)
        np.add.at(counts, (owner[seen], viewed[seen]), 1.0)
        profiles = draw_profiles(self._shopper[requests.user[rows]], self._config, self._streams)
        own = estimate_likings(counts, profiles, self._catalogue, self._config, self._streams)
        time = requests.time[rows][:, None]
        there = (self._catalogue.available_from <= time) & (time < self._catalogue.available_until)
        # Where ids are shuffled the table declares no times, as its events keep none.
        return np.where(there | self._config.shuffle_ids, own, -np.inf)

    def _score(
        self, journal: Journal, beliefs: Beliefs, histories: Histories, requests: Requests, rows: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the expected gain of every item, ``[rows, items]``, -inf where it is not available."""
        catalogue, query = self._catalogue, requests.query[rows]
        tastes = self._tastes(journal, histories, requests, rows)
        own = self._likings(journal, histories, requests, rows)
        belief = beliefs.judge(requests, rows, tastes)
        worth = Worth(
            catalogue,
            listed=self._common + LIST_KNOWLEDGE * own + self._seller,
            liked=self._common + own,
            length=self._config.list_length,
            leaning=self._leaning,
        )
        weight = (belief.weight if self._tells_intents else belief.without_intents) * WORTH
        meant = belief.informed[:, None]
        score = np.zeros(own.shape)
        worth.add_open(score, weight[:, FREE] * (1.0 - meant), tastes, self._config.intent_relevance)
        named = (catalogue.brand == self._meaning.brand[query][:, None]) * NAMED_BONUS
        named = meant * (named + (catalogue.style == self._meaning.style[query][:, None]) * NAMED_BONUS)
        worth.add_topic(score, weight[:, FREE] * meant, self._meaning.leaf[query], named)
        bought = journal.sessions.bought[belief.before]
        matching = (catalogue.style == catalogue.style[bought][:, None]) * MATCH_BONUS
        worth.add_topic(score, weight[:, PAIR], belief.topic[:, PAIR], named + matching)
        shortlist = self._shortlist(journal, belief, worth.liked)
        worth.add_topic(score, weight[:, CLOSING], belief.topic[:, CLOSING], named + shortlist)
        refill = REFILL_BONUS * (np.arange(own.shape[1]) == belief.refill[:, None])
        worth.add_topic(score, weight[:, REFILL], belief.topic[:, REFILL], named + refill)
        return np.where(np.isfinite(own), score, -np.inf)

    def _shortlist(self, journal: Journal, belief: Belief, utility: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the bonus of the best items viewed in the session before, ``[rows, items]``."""
        bonus = np.zeros(utility.shape)
        for row, before in enumerate(belief.before):
            if before < 0 or belief.topic[row, CLOSING] < 0:
                continue
            viewed = journal.viewed[journal.sessions.first[before] : journal.sessions.end[before]]
            viewed = np.unique(viewed[viewed >= 0])
            bonus[row, viewed[np.argsort(-utility[row, viewed])][:WANTED]] = SHORTLIST_BONUS
        return bonus


def _blocks(count: int) -> list[NDArray[np.int64]]:
    return [np.arange(first, min(first + BLOCK, count)) for first in range(0, count, BLOCK)]


def _visible(
    histories: Histories, requests: Requests, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (row, absolute position) of every event visible to the requests at ``rows``."""
    first, end = histories.offsets[requests.user[rows]], requests.history_end[rows]
    return stretches(first, end - first)


def _labels(wander: float) -> NDArray[np.float64]:
    """Return how sessions of each intent (row) are labelled (column) by what they show, ``[3, 3]``.

    A cart makes buy. Else several views in a category make compare: certain on a topic with two clicks, rare on a
    feed, ``wander`` of whose slots are of other categories. What remains is browse.
    """
    one_click = (intents.FEWEST_CLICKS == 1) / intents.SPAN_CLICKS * (1.0 - intents.SECOND_LIST)
    several = 1.0 - one_click
    several[intents.BROWSE] *= 1.0 - wander
    compare = (1.0 - intents.CART) * several
    table: NDArray[np.float64] = np.stack([1.0 - compare - intents.CART, compare, intents.CART], axis=1)
    return table
