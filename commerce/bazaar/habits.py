"""The planted habits: for each its setting and one statistic of the log that shows it.

A statistic is read off what the shop wrote, not off the generator's parameters. Switching a habit off (its setting
to 0) brings its own statistic to what chance gives; docs/bazaar.md says what each habit does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.bazaar.catalogue import LATE_SHARE, START, Catalogue, build_catalogue
from commerce.bazaar.intents import BROWSE, BUY, COMPARE
from commerce.bazaar.log import COMPARISON, REPEAT, TASTE
from commerce.bazaar.planning import COMPLEMENT_LEAF, CONSUMABLE
from commerce.bazaar.queries import text_of, understand
from commerce.bazaar.shoppers import draw_profiles
from commerce.bazaar.streams import Streams
from commerce.bazaar.words import AGE_BANDS, LEAVES, STYLES
from commerce.bazaar.writer import generate
from commerce.columns import ACTION_CODES, DAY
from configs.schema import BazaarConfig

VIEW, PURCHASE, IMPRESSION, SEARCH = (ACTION_CODES[name] for name in ("view", "purchase", "impression", "search"))
HOUR = DAY // 24


@dataclass(frozen=True)
class Shop:
    """A whole bazaar in memory, for statistics."""

    config: BazaarConfig
    catalogue: Catalogue
    events: dict[str, NDArray[np.int64]]
    """As ``log.EVENT_COLUMNS``."""
    sessions: dict[str, NDArray[np.int64]]
    """As ``log.SESSION_COLUMNS``: the hidden truth."""
    first: dict[str, NDArray[np.int64]]
    """For each session: ``item`` of its first view (-1 without), ``leaf`` of it, ``bought`` item (-1 without)."""

    def of(self, *actions: int) -> dict[str, NDArray[np.int64]]:
        """Return the events of shoppers (false accounts left out) with one of these actions."""
        keep = np.isin(self.events["action"], actions) & (self.events["user"] < self.config.users)
        return {name: column[keep] for name, column in self.events.items()}


def open_shop(config: BazaarConfig) -> Shop:
    """Generate a bazaar in memory."""
    streams = Streams(config.seed)
    catalogue = build_catalogue(config, streams)
    parts = list(generate(catalogue, config, streams))
    events = {name: np.concatenate([part.events[name] for part in parts]) for name in parts[0].events}
    sessions = {name: np.concatenate([part.sessions[name] for part in parts]) for name in parts[0].sessions}
    key = sessions["user"] * 100 + sessions["session"]
    where = np.searchsorted(key, events["user"] * 100 + events["session"])
    where[events["user"] >= config.users] = len(key)
    first = {name: np.full(len(key) + 1, -1, dtype=np.int64) for name in ("item", "bought")}
    views = np.flatnonzero(events["action"] == VIEW)[::-1]
    first["item"][where[views]] = events["item"][views]
    paid = events["action"] == PURCHASE
    first["bought"][where[paid]] = events["item"][paid]
    first = {name: column[:-1] for name, column in first.items()}
    first["leaf"] = np.where(first["item"] >= 0, catalogue.leaf[first["item"]], -1)
    return Shop(config, catalogue, events, sessions, first)


def taste(shop: Shop) -> float:
    """How much oftener two sessions of a shopper open with one brand, in different categories, than two of any."""
    return _kinship(shop, lambda one, two: shop.catalogue.brand[one] == shop.catalogue.brand[two])


def price_sensitivity(shop: Shop) -> float:
    """Covariance of price levels between two sessions of a shopper, in different categories."""
    level = shop.catalogue.price_level
    return _kinship(shop, lambda one, two: level[one] * level[two])


def intents(shop: Shop) -> float:
    """Share of buy sessions with a purchase minus that of browse sessions, of those that taste began."""
    free = shop.sessions["reason"] == TASTE
    paid = shop.first["bought"] >= 0
    buy, browse = (paid[free & (shop.sessions["intent"] == intent)].mean() for intent in (BUY, BROWSE))
    return float(buy - browse)


def funnel(shop: Shop) -> float:
    """Share of comparisons without a purchase whose next session buys in the same category."""
    row, after = _followed(shop)
    compared = (shop.sessions["intent"][row] == COMPARE) & (shop.first["bought"][row] < 0)
    bought = shop.first["bought"][after]
    same = (bought >= 0) & (shop.catalogue.leaf[bought] == shop.sessions["topic"][row])
    return float(same[compared].mean())


def intent_relevance(shop: Shop) -> float:
    """Categories met in a browse session without a search, for each view after its first."""
    views = shop.of(VIEW)
    session = views["user"] * 100 + views["session"]
    searches = shop.of(SEARCH)
    key = shop.sessions["user"] * 100 + shop.sessions["session"]
    feed = (shop.sessions["intent"] == BROWSE) & ~np.isin(key, searches["user"] * 100 + searches["session"])
    keep = np.isin(session, key[feed]) & (views["page"] == 0)
    pairs = np.unique(np.stack([session[keep], shop.catalogue.leaf[views["item"][keep]]]), axis=1)
    lists = len(np.unique(session[keep]))
    return float((pairs.shape[1] - lists) / (keep.sum() - lists))


def queries(shop: Shop) -> float:
    """Share of first searches after which the first view is of the category that the words name."""
    searches = shop.of(SEARCH)
    opening = searches["page"] == 0
    numbers, place = np.unique(searches["query"][opening], return_inverse=True)
    leaf = understand([text_of(int(number)) for number in numbers]).leaf[place]
    key = shop.sessions["user"] * 100 + shop.sessions["session"]
    row = np.searchsorted(key, searches["user"][opening] * 100 + searches["session"][opening])
    viewed = shop.first["leaf"][row]
    return float((viewed == leaf)[viewed >= 0].mean())


def position_bias(shop: Shop) -> float:
    """Log ratio of the view rates of an upper and a lower third of a list, its first place left out."""
    length = shop.config.list_length
    shown, viewed = (np.bincount(shop.of(action)["position"], minlength=length) for action in (IMPRESSION, VIEW))
    third = max(1, (length - 1) // 3)
    top, bottom = slice(1, 1 + third), slice(length - third, length)
    return float(np.log(viewed[top].sum() / shown[top].sum()) - np.log(viewed[bottom].sum() / shown[bottom].sum()))


def complements(shop: Shop) -> float:
    """Share of sessions after a purchase that open in the category that complements it."""
    row, after = _followed(shop)
    bought = shop.first["bought"][row]
    fits = shop.first["leaf"][after] == COMPLEMENT_LEAF[shop.catalogue.leaf[bought]]
    return float(fits[bought >= 0].mean())


def substitutes(shop: Shop) -> float:
    """In comparisons: how much oftener substitutes are viewed one right after the other than in a shuffled order."""
    catalogue = shop.catalogue
    shelf = catalogue.leaf * len(STYLES) + catalogue.style
    key = shop.sessions["user"] * 100 + shop.sessions["session"]
    comparing = key[shop.sessions["intent"] == COMPARE]
    return _adjacency(
        shop,
        lambda one, two: (shelf[one] == shelf[two]) & (catalogue.product[one] != catalogue.product[two]),
        comparing,
    )


def variants(shop: Shop) -> float:
    """How much oftener variants of a product are viewed one right after the other than in a shuffled order."""
    product = shop.catalogue.product
    return _adjacency(shop, lambda one, two: product[one] == product[two])


def repeats(shop: Shop) -> float:
    """Share of next purchases in a category that take the same item: used-up categories minus lasting ones."""
    paid = shop.of(PURCHASE)
    leaf = shop.catalogue.leaf[paid["item"]]
    order = np.lexsort((paid["time"], leaf, paid["user"]))
    user, leaf, item = paid["user"][order], leaf[order], paid["item"][order]
    again = (user[1:] == user[:-1]) & (leaf[1:] == leaf[:-1])
    same = item[1:] == item[:-1]
    used_up = CONSUMABLE[leaf[1:]]
    return float(same[again & used_up].mean() - same[again & ~used_up].mean())


def popularity(shop: Shop) -> float:
    """Slope of an item's log share of views on its appeal."""
    return _slopes(shop)[0]


def item_features(shop: Shop) -> float:
    """Slope of an item's log share of views on its rating."""
    return _slopes(shop)[1]


def seller_groups(shop: Shop) -> float:
    """Slope of an item's log share of impressions on its seller being a flagship (1), independent (-1) or neither."""
    return _slopes(shop, IMPRESSION)[2]


def user_features(shop: Shop) -> float:
    """How alike the styles of an age band are among even and odd shoppers (covariance of shares, in 1/1000)."""
    age = draw_profiles(np.arange(shop.config.users), shop.config, Streams(shop.config.seed)).age
    valid = shop.first["item"] >= 0
    user, item = shop.sessions["user"][valid], shop.first["item"][valid]
    tables = []
    for half in (0, 1):
        own = user % 2 == half
        table = np.zeros((len(AGE_BANDS), len(STYLES)))
        np.add.at(table, (age[user[own]], shop.catalogue.style[item[own]]), 1.0)
        share = table / table.sum(axis=1, keepdims=True)
        tables.append(share - share.mean(axis=0))
    return float(1000 * (tables[0] * tables[1]).mean())


def image_vectors(shop: Shop) -> float:
    """Share of items with a vector in place of words."""
    return float(shop.catalogue.bare.mean())


def bids(shop: Shop) -> float:
    """Mean bid of items in the first place over that of items in the others, less 1."""
    shown = shop.of(IMPRESSION)
    bid = shop.catalogue.bid[shown["item"]]
    return float(bid[shown["position"] == 0].mean() / bid[shown["position"] > 0].mean() - 1.0)


def fraud_bursts(shop: Shop) -> float:
    """Most purchases of one item within one hour of the clock."""
    paid = shop.events["action"] == PURCHASE
    pairs = np.stack([shop.events["item"][paid], shop.events["time"][paid] // HOUR])
    return float(np.unique(pairs, axis=1, return_counts=True)[1].max())


def new_users(shop: Shop) -> float:
    """Share of shoppers whose first session lies in the last fifth of the log."""
    first = np.flatnonzero(shop.sessions["session"] == 0)
    late = START + int(LATE_SHARE * shop.config.days * DAY)
    return float((shop.sessions["time"][first] >= late).mean())


def new_items(shop: Shop) -> float:
    """Share of views, in the last tenth of the log, of items never viewed before its last fifth."""
    views = shop.of(VIEW)
    day = (views["time"] - START) / DAY / shop.config.days
    known = np.unique(views["item"][day < LATE_SHARE])
    return float((~np.isin(views["item"][day >= 0.9], known)).mean())


def chinese(shop: Shop) -> float:
    """Share of searches in Chinese."""
    return float((shop.of(SEARCH)["query"] % 2).mean())


HABITS: dict[str, Callable[[Shop], float]] = {
    statistic.__name__: statistic
    for statistic in (
        taste,
        intents,
        funnel,
        intent_relevance,
        queries,
        position_bias,
        price_sensitivity,
        complements,
        substitutes,
        variants,
        repeats,
        popularity,
        item_features,
        user_features,
        image_vectors,
        bids,
        seller_groups,
        fraud_bursts,
        new_users,
        new_items,
        chinese,
    )
}
"""Setting of ``BazaarConfig`` -> the statistic that shows its habit."""


def _kinship(shop: Shop, alike: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.generic]]) -> float:
    """Return how alike the first views of a shopper's neighbouring sessions are, less that of strangers' sessions."""
    row, after = _followed(shop)
    item, leaf = shop.first["item"], shop.first["leaf"]
    valid = (item[row] >= 0) & (item[after] >= 0) & (leaf[row] != leaf[after])
    one, two = item[row[valid]], item[after[valid]]
    strangers = []
    for shift in range(1, 9):
        other = np.roll(two, shift * len(two) // 9)
        apart = shop.catalogue.leaf[one] != shop.catalogue.leaf[other]
        strangers.append(alike(one[apart], other[apart]).mean())
    return float(alike(one, two).mean() - np.mean(strangers))


def _followed(shop: Shop) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of sessions that another one of the shopper follows, and the rows of those."""
    user = shop.sessions["user"]
    row = np.flatnonzero(user[1:] == user[:-1])
    return row, row + 1


def _adjacency(
    shop: Shop,
    related: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]],
    sessions: NDArray[np.int64] | None = None,
) -> float:
    """Return (related neighbours among the views of a list) / (how many a shuffled order would have) - 1."""
    views = shop.of(VIEW)
    key = views["user"] * 100 + views["session"]
    if sessions is not None:
        keep = np.isin(key, sessions)
        views, key = {name: column[keep] for name, column in views.items()}, key[keep]
    page = key * 2 + views["page"]
    lists, number, count = np.unique(page, return_inverse=True, return_counts=True)
    item = views["item"]
    near = expected = 0.0
    for step in range(1, int(count.max())):
        one, two = item[:-step], item[step:]
        pair = (number[:-step] == number[step:]) & related(one, two)
        expected += float((2.0 / count[number[step:]][pair]).sum())
        near += float(pair.sum()) if step == 1 else 0.0
    return near / max(expected, 1e-9) - 1.0


def _slopes(shop: Shop, action: int = VIEW) -> NDArray[np.float64]:
    """Return how an item's log share of its category depends on (appeal, rating, seller); items in demand weigh more."""
    catalogue = shop.catalogue
    events = shop.of(action)
    keep = events["position"] > 0  # the first place may have been sold
    steady = (catalogue.available_from == START) & (catalogue.available_until > shop.events["time"].max())
    counts = np.bincount(events["item"][keep], minlength=len(catalogue))
    leaves = np.eye(len(LEAVES))[catalogue.leaf]
    seller = 1.0 - catalogue.seller_group
    known = np.concatenate([np.stack([catalogue.appeal, catalogue.rating, seller], axis=1), leaves], axis=1)
    return np.asarray(np.linalg.lstsq(known[steady], np.log1p(counts[steady]), rcond=None)[0][:3])
