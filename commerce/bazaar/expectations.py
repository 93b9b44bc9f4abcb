"""Expected gains of items, as the oracle works them out from estimated utilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from commerce.bazaar.catalogue import Catalogue
from commerce.bazaar.intents import BROWSE, BUY, COMPARE
from commerce.bazaar.lists import CLICK_SHARPNESS

PURCHASE_SHARPNESS = 0.6
"""Weight of utility in the choice of what is bought among what was clicked, beside that in the click."""
_SHARPNESS = (CLICK_SHARPNESS, CLICK_SHARPNESS, CLICK_SHARPNESS + PURCHASE_SHARPNESS)
"""By intent: who buys is judged by what is bought."""
_LEAST = 1e-30


class Worth:
    """What items are worth to the shoppers of some requests, and the gains that follow from it.

    Args:
        catalogue: of the shop.
        listed: ``[requests, items]`` estimated utility in the choice of what is shown, -inf where not available.
        liked: ``[requests, items]`` estimated utility to the shopper.
        length: items in a list.
        leaning: ``[3, items]`` what each intent adds to both utilities.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        listed: NDArray[np.float64],
        liked: NDArray[np.float64],
        length: int,
        leaning: NDArray[np.float64],
    ) -> None:
        self.listed, self.liked = listed, liked
        self._shelves, self._length, self._leaning = catalogue.by_leaf, length, leaning

    def add_open(
        self, score: NDArray[np.float64], weight: NDArray[np.float64], tastes: NDArray[np.float64], wander: float
    ) -> None:
        """Add what sessions without a known topic give: a feed over leaves, or one leaf drawn by taste.

        Args:
            score: ``[requests, items]``, added to.
            weight: ``[requests, 3]`` of such sessions by intent.
            tastes: ``[requests, leaves]`` log weights of leaves.
            wander: share of a feed's slots that choose a leaf of their own.
        """
        shelves, there = self._shelves, self._shelves >= 0
        listed = np.where(there, self.listed[:, shelves], -np.inf)  # [requests, leaves, shelf]
        liked = np.where(there, self.liked[:, shelves], -np.inf)
        leaf = _softmax(tastes)[:, :, None]
        looked, compared, bought = (leaf * share for share in self._by_intent(listed, liked, shelves))
        listed, liked = listed + self._leaning[BROWSE][shelves], liked + self._leaning[BROWSE][shelves]
        feed = -np.expm1(-self._length * leaf) * _softmax(listed) * _power(liked, CLICK_SHARPNESS)
        feed /= np.maximum(feed.sum(axis=(1, 2), keepdims=True), _LEAST)
        by_intent = weight[:, :, None, None]
        part = by_intent[:, BROWSE] * (wander * feed + (1.0 - wander) * looked)
        part += by_intent[:, COMPARE] * compared + by_intent[:, BUY] * bought
        score[:, shelves[there]] += part[:, there]

    def add_topic(
        self,
        score: NDArray[np.float64],
        weight: NDArray[np.float64],
        leaf: NDArray[np.int64],
        bonus: NDArray[np.float64],
    ) -> None:
        """Add what sessions about one leaf each give.

        Args:
            score: ``[requests, items]``, added to.
            weight: ``[requests, 3]`` of such sessions by intent.
            leaf: ``[requests]``, -1 where there is none.
            bonus: ``[requests, items]`` further utility, both in what is shown and to the shopper.
        """
        row = np.flatnonzero((leaf >= 0) & (weight.sum(axis=1) > 0))
        shelf = self._shelves[leaf[row]]
        cell = (row[:, None], shelf)
        listed = np.where(shelf >= 0, self.listed[cell] + bonus[cell], -np.inf)
        liked = np.where(shelf >= 0, self.liked[cell] + bonus[cell], -np.inf)
        shares = self._by_intent(listed, liked, shelf)
        part = sum(weight[row, intent, None] * share for intent, share in enumerate(shares))
        score[row[:, None], np.maximum(shelf, 0)] += np.where(shelf >= 0, part, 0.0)

    def _by_intent(
        self, listed: NDArray[np.float64], liked: NDArray[np.float64], shelf: NDArray[np.int64]
    ) -> list[NDArray[np.float64]]:
        """Return the share of what counts that each item of a shelf gets, under each intent."""
        return [
            self._clicked(listed + leaning[shelf], liked + leaning[shelf], sharpness)
            for leaning, sharpness in zip(self._leaning, _SHARPNESS, strict=True)
        ]

    def _clicked(
        self, listed: NDArray[np.float64], liked: NDArray[np.float64], sharpness: float
    ) -> NDArray[np.float64]:
        """Return the share of clicks that each item of a shelf (last axis) gets on lists made from the shelf."""
        clicked: NDArray[np.float64] = -np.expm1(-self._length * _softmax(listed)) * _power(liked, sharpness)
        clicked /= np.maximum(clicked.sum(axis=-1, keepdims=True), _LEAST)
        return clicked


def _softmax(utility: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the softmax over the last axis; all zero where nothing is available."""
    weight = _power(utility, 1.0)
    weight /= np.maximum(weight.sum(axis=-1, keepdims=True), _LEAST)
    return weight


def _power(utility: NDArray[np.floating], sharpness: float) -> NDArray[np.float64]:
    """Return exp(sharpness * utility), cut where it would overflow."""
    power: NDArray[np.float64] = np.exp(np.clip(sharpness * utility, -80, 80)) * np.isfinite(utility)
    return power
