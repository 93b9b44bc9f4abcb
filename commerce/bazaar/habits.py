"""The planted habits: for each its setting and one statistic of the log that shows it.

A statistic is read off what the shop wrote, not off the generator's parameters. Switching a habit off (its setting
to 0) brings its own statistic to what chance gives; docs/bazaar.md says what each habit does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from commerce.bazaar.catalogue import LATE_SHARE, START
from commerce.bazaar.intents import BROWSE, BUY, COMPARE
from commerce.bazaar.log import TASTE
from commerce.bazaar.planning import COMPLEMENT_LEAF, CONSUMABLE
from commerce.bazaar.queries import text_of, understand
from commerce.bazaar.shoppers import draw_profiles
from commerce.bazaar.streams import Streams
from commerce.bazaar.whole import Shop, session_key
from commerce.bazaar.words import AGE_BANDS, LEAVES, STYLES
from commerce.columns import ACTION_CODES, DAY

HOUR = DAY // 24


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
    """Share of comparisons without a purchase after which the next session opens in the same category."""
    row, after = shop.followed()
    compared = (shop.sessions["intent"][row] == COMPARE) & (shop.first["bought"][row] < 0)
    same = shop.first["leaf"][after] == shop.sessions["topic"][row]
    return float(same[compared].mean())


def intent_relevance(shop: Shop) -> float:
    """Categories met in a browse session without a search, for each view after its first."""
    views = shop.of("view")
    session = session_key(views)
    searches = shop.of("search")
    key = session_key(shop.sessions)
    feed = (shop.sessions["intent"] == BROWSE) & ~np.isin(key, session_key(searches))
    keep = np.isin(session, key[feed]) & (views["page"] == 0)
    pairs = np.unique(np.stack([session[keep], shop.catalogue.leaf[views["item"][keep]]]), axis=1)
    lists = len(np.unique(session[keep]))
    return float((pairs.shape[1] - lists) / (keep.sum() - lists))


def intent_tastes(shop: Shop) -> float:
    """How much dearer what is viewed first is in browse sessions than in buy sessions, of those that taste began."""
    free = (shop.sessions["reason"] == TASTE) & (shop.first["item"] >= 0)
    level = shop.catalogue.price_level[shop.first["item"]]
    browse, buy = (level[free & (shop.sessions["intent"] == intent)].mean() for intent in (BROWSE, BUY))
    return float(browse - buy)


def queries(shop: Shop) -> float:
    """Share of first searches after which the first view is of the category that the words name."""
    searches = shop.of("search")
    opening = searches["page"] == 0
    numbers, place = np.unique(searches["query"][opening], return_inverse=True)
    leaf = understand([text_of(int(number)) for number in numbers]).leaf[place]
    key = session_key(shop.sessions)
    row = np.searchsorted(key, searches["user"][opening] * 100 + searches["session"][opening])
    viewed = shop.first["leaf"][row]
    return float((viewed == leaf)[viewed >= 0].mean())


def position_bias(shop: Shop) -> float:
    """Log ratio of the view rates of an upper and a lower third of a list, feeds and first places left out."""
    length = shop.config.list_length
    focused = shop.sessions["intent"] != BROWSE
    shows, views = (
        np.bincount(shop.of(action, focused)["position"], minlength=length) for action in ("impression", "view")
    )
    third = max(1, (length - 1) // 3)
    top, bottom = slice(1, 1 + third), slice(length - third, length)
    return float(np.log(views[top].sum() / shows[top].sum()) - np.log(views[bottom].sum() / shows[bottom].sum()))


def complements(shop: Shop) -> float:
    """Share of sessions after a purchase, feeds left out, that open in the category that complements it."""
    row, after = shop.followed()
    bought = shop.first["bought"][row]
    fits = shop.first["leaf"][after] == COMPLEMENT_LEAF[shop.catalogue.leaf[bought]]
    return float(fits[(bought >= 0) & (shop.sessions["intent"][after] != BROWSE)].mean())


def substitutes(shop: Shop) -> float:
    """In comparisons: how much oftener substitutes are viewed one right after the other than in a shuffled order.

    Lists on which two variants of a product are viewed are left out: they would compete for the next view.
    """
    triple = _triples(shop, shop.sessions["intent"] == COMPARE)
    return _adjacency(_substitute_pairs(shop, triple), np.logical_not(_variant_pairs(shop, triple).any(axis=1)))


def variants(shop: Shop) -> float:
    """How much oftener variants of a product are viewed one right after the other than in a shuffled order.

    Lists on which two substitutes are viewed are left out, as above.
    """
    triple = _triples(shop, np.ones(len(shop.sessions["user"]), dtype=bool))
    return _adjacency(_variant_pairs(shop, triple), np.logical_not(_substitute_pairs(shop, triple).any(axis=1)))


def repeats(shop: Shop) -> float:
    """Share of purchases repeated within thirty days: of what is used up minus of what lasts."""
    paid = shop.of("purchase")
    order = np.lexsort((paid["time"], paid["item"], paid["user"]))
    user, item, time = (paid[name][order] for name in ("user", "item", "time"))
    again = np.zeros(len(user), dtype=bool)
    again[:-1] = (user[1:] == user[:-1]) & (item[1:] == item[:-1]) & (time[1:] - time[:-1] < 30 * DAY)
    used_up = CONSUMABLE[shop.catalogue.leaf[item]]
    return float(again[used_up].mean() - again[~used_up].mean())


def popularity(shop: Shop) -> float:
    """Slope of the log of an item's impressions on its appeal."""
    return _slopes(shop)[0]


def item_features(shop: Shop) -> float:
    """Slope of the log of an item's impressions on its rating."""
    return _slopes(shop)[1]


def seller_groups(shop: Shop) -> float:
    """Slope of the log of an item's impressions on its seller: flagship 1, marketplace 0, independent -1."""
    return _slopes(shop)[2]


def user_features(shop: Shop) -> float:
    """How alike what age bands favour is among even and odd shoppers: correlation of their shares of styles."""
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
    return float(np.corrcoef(tables[0].ravel(), tables[1].ravel())[0, 1])


def image_vectors(shop: Shop) -> float:
    """Share of items with a vector in place of words."""
    return float(shop.catalogue.bare.mean())


def bids(shop: Shop) -> float:
    """Mean bid of items in the first place over that of items in the others, less 1."""
    shown = shop.of("impression")
    bid = shop.catalogue.bid[shown["item"]]
    return float(bid[shown["position"] == 0].mean() / bid[shown["position"] > 0].mean() - 1.0)


def fraud_bursts(shop: Shop) -> float:
    """Most purchases of one item within one hour of the clock."""
    paid = shop.events["action"] == ACTION_CODES["purchase"]
    pairs = np.stack([shop.events["item"][paid], shop.events["time"][paid] // HOUR])
    return float(np.unique(pairs, axis=1, return_counts=True)[1].max())


def new_users(shop: Shop) -> float:
    """Share of shoppers whose first session lies in the last fifth of the log."""
    first = np.flatnonzero(shop.sessions["session"] == 0)
    late = START + int(LATE_SHARE * shop.config.days * DAY)
    return float((shop.sessions["time"][first] >= late).mean())


def new_items(shop: Shop) -> float:
    """Share of views, in the last tenth of the log, of items never viewed before its last fifth."""
    views = shop.of("view")
    day = (views["time"] - START) / DAY / shop.config.days
    known = np.unique(views["item"][day < LATE_SHARE])
    return float((~np.isin(views["item"][day >= 0.9], known)).mean())


def chinese(shop: Shop) -> float:
    """Share of searches in Chinese."""
    return float((shop.of("search")["query"] % 2).mean())


HABITS: dict[str, Callable[[Shop], float]] = {
    statistic.__name__: statistic
    for statistic in (
        taste,
        intents,
        funnel,
        intent_relevance,
        intent_tastes,
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
    row, after = shop.followed()
    item, leaf = shop.first["item"], shop.first["leaf"]
    valid = (item[row] >= 0) & (item[after] >= 0) & (leaf[row] != leaf[after])
    one, two = item[row[valid]], item[after[valid]]
    strangers = []
    for shift in range(1, 9):
        other = np.roll(two, shift * len(two) // 9)
        apart = shop.catalogue.leaf[one] != shop.catalogue.leaf[other]
        strangers.append(alike(one[apart], other[apart]).mean())
    return float(alike(one, two).mean() - np.mean(strangers))


def _triples(shop: Shop, wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the items viewed, in order, on lists of wanted sessions with exactly three views, ``[lists, 3]``."""
    views = shop.of("view", wanted)
    page = (session_key(views)) * 2 + views["page"]
    _, first, count = np.unique(page, return_index=True, return_counts=True)
    triple: NDArray[np.int64] = views["item"][first[count == 3][:, None] + np.arange(3)]
    return triple


_PAIRS = ([0, 1, 0], [1, 2, 2])
"""The pairs of three views: two of neighbours, then the other."""


def _variant_pairs(shop: Shop, triple: NDArray[np.int64]) -> NDArray[np.bool_]:
    product = shop.catalogue.product[triple]
    same: NDArray[np.bool_] = product[:, _PAIRS[0]] == product[:, _PAIRS[1]]
    return same


def _substitute_pairs(shop: Shop, triple: NDArray[np.int64]) -> NDArray[np.bool_]:
    shelf = (shop.catalogue.leaf * len(STYLES) + shop.catalogue.style)[triple]
    alike: NDArray[np.bool_] = (shelf[:, _PAIRS[0]] == shelf[:, _PAIRS[1]]) & ~_variant_pairs(shop, triple)
    return alike


def _adjacency(related: NDArray[np.bool_], keep: NDArray[np.bool_]) -> float:
    """Return related neighbours over two thirds of all related pairs, as a shuffled order has, less 1."""
    kept = related[keep]
    return float(kept[:, :2].sum() / (2.0 / 3.0 * max(int(kept.sum()), 1)) - 1.0)


def _slopes(shop: Shop) -> tuple[float, float, float]:
    """Return how the log of an item's impressions depends on (appeal, rating, seller), given its category.

    A Poisson regression over first lists of sessions that keep to one topic; the first place, which may have been
    sold, is left out, and so are items that were not there throughout.
    """
    catalogue = shop.catalogue
    shown = shop.of("impression", (shop.sessions["intent"] != BROWSE) & (shop.sessions["reason"] == TASTE))
    keep = (shown["position"] > 0) & (shown["page"] == 0)
    counts = np.bincount(shown["item"][keep], minlength=len(catalogue))
    there = (catalogue.available_from == START) & (catalogue.available_until > shop.events["time"].max())
    known = np.stack([catalogue.appeal, catalogue.rating, 1.0 - catalogue.seller_group], axis=1)
    known = np.concatenate([known, np.eye(len(LEAVES))[catalogue.leaf]], axis=1)[there]
    slope = np.zeros(known.shape[1])
    slope[3:] = np.log(counts[there].mean() + 1e-9)
    for _ in range(30):
        expected = np.exp(known @ slope)
        bend = (known.T * expected) @ known + 1e-6 * np.eye(len(slope))
        step = np.linalg.solve(bend, known.T @ (counts[there] - expected))
        slope += np.clip(step, -1.0, 1.0)
    return float(slope[0]), float(slope[1]), float(slope[2])
