"""What the shop shows and what is clicked: lists of items, places in them, and choices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.bazaar.catalogue import Catalogue
from commerce.bazaar.intents import COMPARE, MOST_CLICKS
from commerce.bazaar.shoppers import Shoppers, intent_taste
from commerce.bazaar.streams import Streams
from configs.schema import BazaarConfig

CLICK_SHARPNESS = 1.0
"""Weight of utility in the choice among shown items."""
SELLER_BONUS = np.array([1.0, 0.0, -1.0])
"""What the shop's own lists add, times ``seller_groups``, for flagship, marketplace and independent sellers."""
NAMED_BONUS = 2.5
"""Utility of having the brand, or the style, that the query names."""
MATCH_BONUS = 1.0
"""Utility of a complement in the style of what was bought before."""
NEVER = -np.inf


@dataclass(frozen=True)
class Asked:
    """Moments at which a list is shown; arrays are ``[lists]``."""

    row: NDArray[np.int64]
    """Row of the shopper in its block."""
    session: NDArray[np.int64]
    """Number of the shopper's session."""
    page: NDArray[np.int64]
    """0 for the session's first list, 1 for its second."""
    time: NDArray[np.int64]
    intent: NDArray[np.int64]
    topic: NDArray[np.int64]
    """Leaf that the list is about."""
    spread: NDArray[np.bool_]
    """Whether slots choose leaves of their own."""
    brand: NDArray[np.int64]
    """Brand that the query names, -1 without."""
    style: NDArray[np.int64]
    match_style: NDArray[np.int64]
    """Style of the purchase that this session complements, -1 without."""
    wanted: NDArray[np.int64]
    """``[lists, WANTED]`` items that the shopper came back for, -1 padded."""
    wanted_bonus: NDArray[np.float64]
    """``[lists]`` what is added to their utility."""


@dataclass(frozen=True)
class Shown:
    """Lists as shown, ``[lists, length]``, in order of position."""

    item: NDArray[np.int64]
    """-1 where the list is shorter."""
    utility: NDArray[np.float64]
    sponsored: NDArray[np.bool_]


@dataclass(frozen=True)
class Clicks:
    """What is clicked, ``[lists, MOST_CLICKS]``, in order of time; -1 padded."""

    position: NDArray[np.int64]
    item: NDArray[np.int64]
    lifted: NDArray[np.bool_]
    """Clicked here, but not if every place were looked at alike."""


def show_lists(asked: Asked, shoppers: Shoppers, catalogue: Catalogue, config: BazaarConfig, streams: Streams) -> Shown:
    """Draw the lists: items by what the shop knows of the shopper's utilities, places at random, the first one sold."""
    length = config.list_length
    item = np.full((len(asked.row), length), -1, dtype=np.int64)
    one = np.flatnonzero(~asked.spread)
    item[one] = _of_one_leaf(_take(asked, one), length, shoppers, catalogue, config, streams)
    many = np.flatnonzero(asked.spread)
    item[many] = _of_many_leaves(_take(asked, many), length, shoppers, catalogue, config, streams)
    user = shoppers.user[asked.row]
    place = streams.uniform("position/place", user[:, None], asked.session[:, None], asked.page[:, None], item)
    place[item < 0] = 2.0
    item = np.take_along_axis(item, np.argsort(place, axis=1), axis=1)
    sponsored = np.zeros(item.shape, dtype=bool)
    sold = _sold_places(asked, shoppers, catalogue, config, streams)
    item[(item == sold[:, None]) & (sold >= 0)[:, None]] = -1
    item[:, 0] = np.where(sold >= 0, sold, item[:, 0])
    sponsored[:, 0] = sold >= 0
    utility = utilities(asked, item, shoppers.utility, catalogue, config)
    return Shown(item, utility, sponsored)


def utilities(
    asked: Asked, item: NDArray[np.int64], liking: NDArray[np.float32], catalogue: Catalogue, config: BazaarConfig
) -> NDArray[np.float64]:
    """Return what ``item`` (``[lists, n]``, -1 padded) is worth in this session; -inf where it is not available.

    ``liking`` is ``[rows, items]``: of the shopper, or as far as the shop knows it.
    """
    own = liking[asked.row[:, None], item].astype(np.float64)
    own += intent_taste(asked.intent, item, catalogue, config)
    own += NAMED_BONUS * (catalogue.brand[item] == asked.brand[:, None])
    own += NAMED_BONUS * (catalogue.style[item] == asked.style[:, None])
    own += MATCH_BONUS * (catalogue.style[item] == asked.match_style[:, None])
    came_for = (item[:, :, None] == asked.wanted[:, None, :]).any(axis=2)
    own += asked.wanted_bonus[:, None] * came_for
    moment = asked.time[:, None]
    there = (item >= 0) & (catalogue.available_from[item] <= moment) & (moment < catalogue.available_until[item])
    return np.where(there, own, NEVER)


def click(
    asked: Asked,
    shown: Shown,
    clicks: NDArray[np.int64],
    shoppers: Shoppers,
    catalogue: Catalogue,
    config: BazaarConfig,
    streams: Streams,
) -> Clicks:
    """Draw what is clicked in each list: one choice after the other, without replacement.

    Args:
        clicks: ``[lists]`` clicks on each list, if it is long enough.
    """
    user = shoppers.user[asked.row]
    noise = streams.gumbel("clicks", user[:, None], asked.session[:, None], asked.page[:, None], shown.item)
    look = -config.position_bias * np.log1p(np.arange(shown.item.shape[1]))
    place = _choose(asked, shown, clicks, noise + look, catalogue, config)
    fair = _choose(asked, shown, clicks, noise, catalogue, config)
    item = np.where(place >= 0, np.take_along_axis(shown.item, np.maximum(place, 0), axis=1), -1)
    lifted = (place >= 0) & ~(place[:, :, None] == fair[:, None, :]).any(axis=2)
    return Clicks(place, item, lifted)


def _choose(
    asked: Asked,
    shown: Shown,
    clicks: NDArray[np.int64],
    noise: NDArray[np.float64],
    catalogue: Catalogue,
    config: BazaarConfig,
) -> NDArray[np.int64]:
    """Return the places chosen, ``[lists, MOST_CLICKS]``, -1 padded."""
    rows = np.arange(len(asked.row))
    score = CLICK_SHARPNESS * shown.utility + noise
    product, shelf = catalogue.product[shown.item], catalogue.leaf[shown.item] * 1000 + catalogue.style[shown.item]
    comparing = (asked.intent == COMPARE)[:, None]
    chosen = np.full((len(rows), MOST_CLICKS), -1, dtype=np.int64)
    lift = np.zeros_like(score)
    for turn in range(MOST_CLICKS):
        best = np.argmax(score + lift, axis=1)
        valid = (turn < clicks) & np.isfinite(score[rows, best])
        chosen[valid, turn] = best[valid]
        score[rows[valid], best[valid]] = NEVER
        same_product = product == product[rows, best][:, None]
        same_shelf = (shelf == shelf[rows, best][:, None]) & ~same_product
        lift = config.variants * same_product + config.substitutes * (same_shelf & comparing)
    return chosen


def _of_one_leaf(
    asked: Asked, length: int, shoppers: Shoppers, catalogue: Catalogue, config: BazaarConfig, streams: Streams
) -> NDArray[np.int64]:
    """Return lists of ``length`` items of the topic, drawn without replacement."""
    shelf = catalogue.by_leaf[asked.topic]
    user = shoppers.user[asked.row]
    noise = streams.gumbel("lists", user[:, None], asked.session[:, None], asked.page[:, None], shelf)
    score = (
        utilities(asked, shelf, shoppers.known_utility, catalogue, config) + _bonus(shelf, catalogue, config) + noise
    )
    width = min(length, shelf.shape[1])
    top = np.argsort(-score, axis=1, kind="stable")[:, :width]
    items = np.take_along_axis(shelf, top, axis=1)
    items[~np.isfinite(np.take_along_axis(score, top, axis=1))] = -1
    return np.pad(items, ((0, 0), (0, length - width)), constant_values=-1)


def _of_many_leaves(
    asked: Asked, length: int, shoppers: Shoppers, catalogue: Catalogue, config: BazaarConfig, streams: Streams
) -> NDArray[np.int64]:
    """Return feeds of at most ``length`` items, each slot of another leaf; some slots keep to the topic instead.

    A slot takes the best item of its leaf (Gumbel noise). Doubles within the topic are left out.
    """
    user, slot = shoppers.user[asked.row][:, None], np.arange(length)
    session, page = asked.session[:, None], asked.page[:, None]
    noise = streams.gumbel("feeds/leaf", user, session, page, np.arange(len(catalogue.by_leaf)))
    liked = np.argsort(-(shoppers.leaf_taste[asked.row] + noise), axis=1)
    wander = streams.uniform("feeds/wander", user, session, page, slot) < config.intent_relevance
    leaf = np.where(wander, liked[:, slot % liked.shape[1]], asked.topic[:, None])
    shelf = catalogue.by_leaf[leaf]  # [lists, length, shelf]
    flat = shelf.reshape(len(shelf), length * shelf.shape[2])
    noise = streams.gumbel("feeds/item", user, session, page, np.repeat(slot, shelf.shape[2]), flat)
    score = utilities(asked, flat, shoppers.known_utility, catalogue, config) + _bonus(flat, catalogue, config) + noise
    best = np.argmax(score.reshape(shelf.shape), axis=2)
    items = np.take_along_axis(shelf, best[..., None], axis=2)[..., 0]
    double = np.tril(items[:, :, None] == items[:, None, :], k=-1).any(axis=2)
    return np.where(double, -1, items)


def _bonus(item: NDArray[np.int64], catalogue: Catalogue, config: BazaarConfig) -> NDArray[np.float64]:
    return config.seller_groups * SELLER_BONUS[catalogue.seller_group[item]]


def _sold_places(
    asked: Asked, shoppers: Shoppers, catalogue: Catalogue, config: BazaarConfig, streams: Streams
) -> NDArray[np.int64]:
    """Return the item that bought the first place of each list, -1 where none did: drawn in proportion to the bids."""
    user = shoppers.user[asked.row]
    sold = streams.uniform("bids/sold", user, asked.session, asked.page) < config.bids
    shelf = catalogue.by_leaf[asked.topic]
    there = np.isfinite(utilities(asked, shelf, shoppers.known_utility, catalogue, config)) & (catalogue.bid[shelf] > 0)
    noise = streams.gumbel("bids/item", user[:, None], asked.session[:, None], asked.page[:, None], shelf)
    score = np.where(there, np.log(np.maximum(catalogue.bid[shelf], 1e-9)) + noise, NEVER)
    best = np.argmax(score, axis=1)
    return np.where(sold & there.any(axis=1), shelf[np.arange(len(shelf)), best], -1)


def _take(asked: Asked, rows: NDArray[np.int64]) -> Asked:
    return Asked(**{name: values[rows] for name, values in vars(asked).items()})
