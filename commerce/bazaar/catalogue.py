"""The products of the bazaar: what they are, what they say, when they are there and how they belong together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.bazaar.streams import Streams
from commerce.bazaar.words import (
    BRANDS,
    CHINESE,
    COLOURS,
    DEPARTMENT_OF_LEAF,
    DEPARTMENTS,
    ENGLISH,
    LEAVES,
    MATERIALS,
    SELLER_GROUPS,
    STYLES,
)
from commerce.columns import DAY
from configs.errors import InputError
from configs.schema import BazaarConfig

START = 1_767_571_200 * 1_000_000
"""First moment of every log: 2026-01-05 00:00 UTC, in microseconds."""
ALWAYS = np.iinfo(np.int64).max
"""``until`` of an item that is never withdrawn."""
BRANDS_PER_LEAF = 8
VECTOR_WIDTH = 16
LATE_SHARE = 0.8
"""New items and new shoppers appear after this share of the log."""
WITHDRAWN_SHARE = 0.04
MIN_ITEMS = 2 * len(LEAVES)


@dataclass(frozen=True)
class Catalogue:
    """All items; arrays are ``[items]`` unless said, codes point into ``words``."""

    product: NDArray[np.int64]
    """Variants of one product share its number."""
    leaf: NDArray[np.int64]
    brand: NDArray[np.int64]
    style: NDArray[np.int64]
    material: NDArray[np.int64]
    colour: NDArray[np.int64]
    price: NDArray[np.float64]
    price_level: NDArray[np.float64]
    """Standardised log price within the leaf."""
    rating: NDArray[np.float64]
    """Standardised; the table's ``rating`` is 4 + .4 times it, cut to 1-5."""
    appeal: NDArray[np.float64]
    """Standard normal; what everybody likes about the item, whatever its features."""
    seller: NDArray[np.int64]
    seller_group: NDArray[np.int64]
    bid: NDArray[np.float64]
    """Money offered per click, 0 where the seller does not bid."""
    available_from: NDArray[np.int64]
    """Microseconds; ``START`` for items that are there from the beginning."""
    available_until: NDArray[np.int64]
    bare: NDArray[np.bool_]
    """Title, brand and category say next to nothing; ``vector`` does."""
    chinese: NDArray[np.bool_]
    vector: NDArray[np.float32]
    """``[items, VECTOR_WIDTH]``; given only for bare items."""
    by_leaf: NDArray[np.int64]
    """``[leaves, widest leaf]`` item codes, -1 padded."""

    def __len__(self) -> int:
        return len(self.product)


def build_catalogue(config: BazaarConfig, streams: Streams) -> Catalogue:
    """Draw the catalogue of ``config``.

    Raises:
        InputError: if there are fewer items than two per leaf category.
    """
    if config.items < MIN_ITEMS:
        raise InputError(
            f"bazaar.items is {config.items}, but the shop has {len(LEAVES)} categories and needs two items in each; "
            f"set bazaar.items to {MIN_ITEMS} or more"
        )
    product = _products(config.items, streams)
    item = np.arange(config.items)
    leaf = product % len(LEAVES)
    brand = _brands_of_leaves(streams)[leaf, streams.choice("catalogue/brand", BRANDS_PER_LEAF, product)]
    style = streams.choice("catalogue/style", len(STYLES), product)
    price_level = streams.normal("catalogue/price", product)
    start = 12.0 * np.exp(streams.normal("catalogue/leaf-price", np.arange(len(LEAVES))))
    first = np.concatenate([[True], product[1:] != product[:-1]])
    place = item - np.maximum.accumulate(np.where(first, item, 0))
    group = np.searchsorted([0.3, 0.7], streams.uniform("catalogue/seller-group", product))
    bids = streams.uniform("catalogue/bids", product) < 0.4
    late = streams.uniform("catalogue/new", product) < config.new_items
    gone = streams.uniform("catalogue/gone", item) < WITHDRAWN_SHARE
    # The first product of every leaf stays throughout, so that no leaf is ever empty.
    steady = product < len(LEAVES)
    arrival = START + ((LATE_SHARE + 0.18 * streams.uniform("catalogue/from", product)) * config.days * DAY).astype(int)
    leaving = START + ((0.4 + 0.5 * streams.uniform("catalogue/until", item)) * config.days * DAY).astype(int)
    late &= ~steady
    return Catalogue(
        product=product,
        leaf=leaf,
        brand=brand,
        style=style,
        material=streams.choice("catalogue/material", len(MATERIALS), product),
        colour=(streams.choice("catalogue/colour", len(COLOURS), product) + place) % len(COLOURS),
        price=np.round(start[leaf] * np.exp(0.4 * price_level), 2),
        price_level=price_level,
        rating=streams.normal("catalogue/rating", product),
        appeal=streams.normal("catalogue/appeal", item),
        seller=group * 20 + streams.choice("catalogue/seller", 20, product),
        seller_group=group,
        bid=np.where(bids, np.round(np.exp(0.8 * streams.normal("catalogue/bid", product) - 1.0), 3), 0.0),
        available_from=np.where(late, arrival, START),
        available_until=np.where(gone & ~late & ~steady, leaving, ALWAYS),
        bare=streams.uniform("catalogue/bare", product) < config.image_vectors,
        chinese=streams.uniform("catalogue/language", product) < config.chinese,
        vector=_vectors(leaf, brand, style, streams),
        by_leaf=_by_leaf(leaf),
    )


def title_of(catalogue: Catalogue, item: int, streams: Streams) -> str:
    """Return the title of an item: all of what it is in its language, or a bare number."""
    if catalogue.bare[item]:
        return f"新品 {item:05d}" if catalogue.chinese[item] else f"New arrival {item:05d}"
    language = CHINESE if catalogue.chinese[item] else ENGLISH
    product = catalogue.product[item]
    synonym = int(streams.choice("catalogue/synonym", 2, product)[0])
    brand = BRANDS[catalogue.brand[item]][language]
    style = STYLES[catalogue.style[item]][synonym][language]
    material = MATERIALS[catalogue.material[item]][language]
    noun = LEAVES[catalogue.leaf[item]][language]
    colour = COLOURS[catalogue.colour[item]][language]
    if language == ENGLISH:
        return f"{brand} {style} {material} {noun}, {colour}"
    return f"{brand} {style} {material}{noun} {colour}"


def category_of(catalogue: Catalogue, item: int) -> str | None:
    """Return ``Department > leaf`` in English, the shop's own language for its shelves; None for a bare item."""
    if catalogue.bare[item]:
        return None
    leaf = catalogue.leaf[item]
    return f"{DEPARTMENTS[DEPARTMENT_OF_LEAF[leaf]][0][ENGLISH]} > {LEAVES[leaf][ENGLISH]}"


def seller_group_of(catalogue: Catalogue, item: int) -> str:
    """Return the declared group of the item's seller."""
    return SELLER_GROUPS[int(catalogue.seller_group[item])]


def _products(items: int, streams: Streams) -> NDArray[np.int64]:
    """Return the product of each item: 70% of products have one variant, the others two or three."""
    draw = streams.uniform("catalogue/variants", np.arange(items))
    count = 1 + (draw < 0.3) + (draw < 0.1)
    return np.repeat(np.arange(items), count)[:items]


def _brands_of_leaves(streams: Streams) -> NDArray[np.int64]:
    """Return the brands sold in each leaf, ``[leaves, BRANDS_PER_LEAF]``."""
    noise = streams.uniform("catalogue/leaf-brands", np.arange(len(LEAVES))[:, None], np.arange(len(BRANDS)))
    return np.argsort(noise, axis=1)[:, :BRANDS_PER_LEAF]


def _vectors(
    leaf: NDArray[np.int64], brand: NDArray[np.int64], style: NDArray[np.int64], streams: Streams
) -> NDArray[np.float32]:
    """Return image-like vectors: a fixed random picture of leaf, brand and style each, added up with noise."""
    width = np.arange(VECTOR_WIDTH)
    parts = [
        streams.normal(f"catalogue/picture-{name}", codes[:, None], width)
        for name, codes in (("leaf", leaf), ("brand", brand), ("style", style))
    ]
    noise = streams.normal("catalogue/picture-noise", np.arange(len(leaf))[:, None], width)
    return (1.5 * parts[0] + parts[1] + parts[2] + 0.1 * noise).astype(np.float32)


def _by_leaf(leaf: NDArray[np.int64]) -> NDArray[np.int64]:
    counts = np.bincount(leaf, minlength=len(LEAVES))
    table = np.full((len(LEAVES), counts.max()), -1, dtype=np.int64)
    order = np.argsort(leaf, kind="stable")
    table[leaf[order], np.concatenate([np.arange(count) for count in counts])] = order
    return table
