"""The shoppers of the bazaar: who they are, what they like, when they come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.bazaar.catalogue import LATE_SHARE, START, Catalogue
from commerce.bazaar.intents import PRICE_TASTE, RATING_TASTE
from commerce.bazaar.streams import Streams
from commerce.bazaar.words import AGE_BANDS, BRANDS, DEPARTMENT_OF_LEAF, DEPARTMENTS, GENDERS, LEAVES, REGIONS, STYLES
from commerce.columns import DAY, INTENTS, MICROSECONDS
from configs.schema import BazaarConfig

# Standard deviations of the parts of a shopper's utilities at strength 1; the oracle's priors are these.
DEPARTMENT_SD = 1.6
LEAF_SD = 1.2
BRAND_SD = 1.0
STYLE_SD = 0.9
PRICE_SD = 0.5
INTENT_SD = 0.8
AGE_STYLE_SD = 1.0
HOUSEHOLD_DEPARTMENT_SD = 1.0

LIST_KNOWLEDGE = 0.5
"""Share of a shopper's own likings that goes into what the shop shows; what all like alike goes in whole."""
INTENT_BASE = np.log(np.array([0.45, 0.35, 0.20]))
"""Log share of browse, compare and buy sessions of a shopper without habits."""
MOST_SESSIONS = 64
"""Sessions of one shopper at most."""
HOUR = 3_600 * MICROSECONDS


@dataclass(frozen=True)
class Profiles:
    """Declared facts of shoppers, ``[users]`` each."""

    age: NDArray[np.int64]
    region: NDArray[np.int64]
    gender: NDArray[np.int64]
    household: NDArray[np.int64]
    """Persons, 1 to 5."""
    chinese: NDArray[np.bool_]


@dataclass(frozen=True)
class Shoppers:
    """A block of shoppers with what nobody sees; rows follow ``user``."""

    user: NDArray[np.int64]
    """``[rows]`` user codes."""
    profiles: Profiles
    leaf_taste: NDArray[np.float64]
    """``[rows, leaves]`` log weight of each category, up to a constant."""
    utility: NDArray[np.float32]
    """``[rows, items]`` liking of each item among those of its category."""
    known_utility: NDArray[np.float32]
    """``[rows, items]`` what the shop's own lists know of it."""
    intent: NDArray[np.float64]
    """``[rows, 3]`` log weight of each intent."""
    sessions: NDArray[np.int64]
    """``[rows]``."""
    times: NDArray[np.int64]
    """``[rows, MOST_SESSIONS]`` start of each session, ascending; only the first ``sessions`` are used."""


def draw_profiles(user: NDArray[np.int64], config: BazaarConfig, streams: Streams) -> Profiles:
    """Return the declared facts of the users with these codes."""
    return Profiles(
        age=streams.choice("shoppers/age", len(AGE_BANDS), user),
        region=streams.choice("shoppers/region", len(REGIONS), user),
        gender=streams.choice("shoppers/gender", len(GENDERS), user),
        household=1 + streams.choice("shoppers/household", 5, user),
        chinese=streams.uniform("shoppers/language", user) < config.chinese,
    )


def draw_shoppers(user: NDArray[np.int64], catalogue: Catalogue, config: BazaarConfig, streams: Streams) -> Shoppers:
    """Return the shoppers with these codes."""
    profiles = draw_profiles(user, config, streams)
    row = user[:, None]
    sessions, times = _visits(user, config, streams)
    departments = DEPARTMENT_SD * streams.normal("taste/department", row, np.arange(len(DEPARTMENTS)))
    own = LEAF_SD * streams.normal("taste/leaf", row, np.arange(len(LEAVES)))
    leaf_taste = config.taste * (departments[:, DEPARTMENT_OF_LEAF] + own) + household_taste(profiles, config, streams)
    brands = config.taste * BRAND_SD * streams.normal("taste/brand", row, np.arange(len(BRANDS)))
    styles = config.taste * STYLE_SD * streams.normal("taste/style", row, np.arange(len(STYLES)))
    styles = styles + age_taste(profiles, config, streams)
    price = config.price_sensitivity * PRICE_SD * streams.normal("taste/price", row)
    own = brands[:, catalogue.brand] + styles[:, catalogue.style] + price * catalogue.price_level
    common = common_utility(catalogue, config)
    return Shoppers(
        user=user,
        profiles=profiles,
        leaf_taste=leaf_taste,
        utility=(own + common).astype(np.float32),
        known_utility=(LIST_KNOWLEDGE * own + common).astype(np.float32),
        intent=INTENT_BASE + INTENT_SD * streams.normal("shoppers/intent", row, np.arange(len(INTENTS))),
        sessions=sessions,
        times=times,
    )


def common_utility(catalogue: Catalogue, config: BazaarConfig) -> NDArray[np.float64]:
    """Return what every shopper likes alike about each item, ``[items]``."""
    return config.popularity * catalogue.appeal + config.item_features * catalogue.rating


def intent_taste(
    intent: NDArray[np.int64], item: NDArray[np.int64], catalogue: Catalogue, config: BazaarConfig
) -> NDArray[np.float64]:
    """Return what intents, ``[lists]``, add to the liking of items, ``[lists, n]`` or ``[n]``: ``[lists, n]``."""
    price = PRICE_TASTE[intent][:, None] * catalogue.price_level[item]
    rating = RATING_TASTE[intent][:, None] * catalogue.rating[item]
    taste: NDArray[np.float64] = config.intent_tastes * (price + rating)
    return taste


def age_taste(profiles: Profiles, config: BazaarConfig, streams: Streams) -> NDArray[np.float64]:
    """Return what a shopper's age adds to each style, ``[users, styles]``."""
    table = streams.normal("features/age", np.arange(len(AGE_BANDS))[:, None], np.arange(len(STYLES)))
    return config.user_features * AGE_STYLE_SD * table[profiles.age]


def household_taste(profiles: Profiles, config: BazaarConfig, streams: Streams) -> NDArray[np.float64]:
    """Return what the size of a shopper's household adds to each leaf, ``[users, leaves]``."""
    slope = streams.normal("features/household", np.arange(len(DEPARTMENTS)))
    size = (profiles.household - 3.0)[:, None] / np.sqrt(2.0)
    table: NDArray[np.float64] = config.user_features * HOUSEHOLD_DEPARTMENT_SD * size * slope
    return table[:, DEPARTMENT_OF_LEAF]


def _visits(
    user: NDArray[np.int64], config: BazaarConfig, streams: Streams
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of sessions of each user and when they start, at least an hour apart."""
    new = streams.uniform("shoppers/new", user) < config.new_users
    start = np.where(new, LATE_SHARE + 0.15 * streams.uniform("shoppers/start", user), 0.0)
    activity = np.exp(0.5 * streams.normal("shoppers/activity", user) - 0.125)
    sessions = np.rint(config.sessions_per_user * activity * (1.0 - start))
    sessions = np.clip(sessions, 2, MOST_SESSIONS).astype(np.int64)
    slot = np.arange(MOST_SESSIONS)
    share = streams.uniform("shoppers/visit", user[:, None], slot)
    share[slot >= sessions[:, None]] = 2.0  # unused slots sort to the end
    share.sort(axis=1)
    day = np.floor((start[:, None] + (1.0 - start[:, None]) * share) * config.days)
    hour = np.abs(8.0 + 12.0 * streams.uniform("shoppers/hour", user[:, None], slot))
    times = START + (day * DAY).astype(np.int64) + (hour * HOUR).astype(np.int64)
    times.sort(axis=1)
    # Two sessions never touch: each starts at least an hour after the one before it.
    steps = slot * HOUR
    return sessions, np.maximum.accumulate(times - steps, axis=1) + steps
