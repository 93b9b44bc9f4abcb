"""What the oracle makes of a history: likings and category tastes, as maximum posterior estimates.

The choice model and the priors are the generator's own; the shopper's true values are never read. All of a block of
requests are fitted at once by damped Newton steps on the diagonal, and the posterior's width is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.bazaar.catalogue import Catalogue
from commerce.bazaar.lists import SELLER_BONUS
from commerce.bazaar.shoppers import (
    BRAND_SD,
    DEPARTMENT_SD,
    LEAF_SD,
    PRICE_SD,
    STYLE_SD,
    Profiles,
    age_taste,
    common_utility,
    household_taste,
)
from commerce.bazaar.streams import Streams
from commerce.bazaar.words import BRANDS, DEPARTMENT_OF_LEAF, DEPARTMENTS, LEAVES, STYLES
from configs.schema import BazaarConfig

STEPS = 20
DAMPING = 0.5
TINY = 1e-6
COMMON_WEIGHT, SELLER_WEIGHT, OWN_WEIGHT = 1.13, 0.6, 0.92
"""A list and the clicks on it, taken as one choice from the category, weigh utilities like this.

Measured once by a logit of the views of one-topic sessions on the true utilities: not of any one shopper.
"""


@dataclass(frozen=True)
class Features:
    """The linear model behind utilities: ``utility = offset + parameters @ matrix.T``."""

    matrix: NDArray[np.float64]
    """``[choices, parameters]``."""
    spread: NDArray[np.float64]
    """``[parameters]`` prior standard deviations."""


def item_features(catalogue: Catalogue, config: BazaarConfig) -> Features:
    """Return brand, style and price level of every item with the priors of their weights."""
    brand = np.eye(len(BRANDS))[catalogue.brand]
    style = np.eye(len(STYLES))[catalogue.style]
    matrix = np.concatenate([brand, style, catalogue.price_level[:, None]], axis=1)
    taste, price = max(config.taste, TINY), max(config.price_sensitivity, TINY)
    spread = np.concatenate(
        [np.full(len(BRANDS), taste * BRAND_SD), np.full(len(STYLES), taste * STYLE_SD), [price * PRICE_SD]]
    )
    return Features(matrix, spread)


def leaf_features(config: BazaarConfig) -> Features:
    """Return department and leaf of every leaf with the priors of their weights."""
    matrix = np.concatenate([np.eye(len(DEPARTMENTS))[list(DEPARTMENT_OF_LEAF)], np.eye(len(LEAVES))], axis=1)
    spread = max(config.taste, TINY) * np.repeat([DEPARTMENT_SD, LEAF_SD], [len(DEPARTMENTS), len(LEAVES)])
    return Features(matrix, spread)


def estimate_likings(
    viewed: NDArray[np.float32], profiles: Profiles, catalogue: Catalogue, config: BazaarConfig, streams: Streams
) -> NDArray[np.float32]:
    """Return a shopper's estimated own liking of every item, beyond what all like alike, ``[requests, items]``.

    Args:
        viewed: ``[requests, items]`` how often each item was viewed.
        profiles: declared facts of the shoppers, a row per request.
        catalogue: of the shop.
        config: of the shop.
        streams: of the shop; what age does to styles is drawn from them.
    """
    seller = config.seller_groups * SELLER_BONUS[catalogue.seller_group]
    known = COMMON_WEIGHT * common_utility(catalogue, config) + SELLER_WEIGHT * seller
    age = age_taste(profiles, config, streams)[:, catalogue.style]
    model = item_features(catalogue, config)
    weighed = Features(OWN_WEIGHT * model.matrix, model.spread)
    fitted = _fit(viewed, weighed, known + OWN_WEIGHT * age, catalogue.leaf)
    return ((fitted - known) / OWN_WEIGHT).astype(np.float32)


def estimate_tastes(
    visits: NDArray[np.float32], profiles: Profiles, config: BazaarConfig, streams: Streams
) -> NDArray[np.float32]:
    """Return the estimated log weight of every leaf, ``[requests, leaves]``.

    Args:
        visits: ``[requests, leaves]`` in how many sessions each leaf was viewed.
        profiles: declared facts of the shoppers, a row per request.
        config: of the shop.
        streams: of the shop; what household size does to departments is drawn from them.
    """
    return _fit(visits, leaf_features(config), household_taste(profiles, config, streams), np.zeros(len(LEAVES), int))


def _fit(
    counts: NDArray[np.float32], features: Features, offset: NDArray[np.float64], group: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the utilities at the posterior's peak of a multinomial logit, ``[requests, choices]``.

    Args:
        counts: ``[requests, choices]``.
        features: the linear model and its Gaussian prior around zero.
        offset: ``[requests, choices]`` known part of the utilities.
        group: ``[choices]`` a choice is made among those of its group.
    """
    # Choices of a group side by side, so that sums over groups are one pass.
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(order)))
    matrix = features.matrix[order].astype(np.float32)
    squares = matrix**2
    precision = (features.spread**-2.0).astype(np.float32)
    known = offset[:, order].astype(np.float32)
    ordered = counts[:, order].astype(np.float32)
    chosen = np.add.reduceat(ordered, starts, axis=1)
    wished = ordered @ matrix
    parameters = np.zeros((len(counts), matrix.shape[1]), dtype=np.float32)
    for _ in range(STEPS):
        weight = np.exp(np.clip(known + parameters @ matrix.T, -40, 40))
        weight *= np.repeat(chosen / np.add.reduceat(weight, starts, axis=1), sizes, axis=1)
        slope = wished - weight @ matrix - precision * parameters
        parameters += DAMPING * slope / (weight @ squares + precision)
    fitted = np.empty_like(known)
    fitted[:, order] = known + parameters @ matrix.T
    return fitted
