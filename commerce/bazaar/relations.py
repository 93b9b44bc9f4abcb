"""The relations that the bazaar declares: variants, substitutes and complements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.bazaar.catalogue import Catalogue
from commerce.bazaar.words import STYLES, complement_of_leaf

PER_ITEM = 4
"""Substitutes, and complements, declared for an item at most."""


@dataclass(frozen=True)
class Edges:
    """Declared pairs, ``[edges]`` each."""

    item: NDArray[np.int64]
    other: NDArray[np.int64]
    relation: NDArray[np.str_]


def declared_relations(catalogue: Catalogue) -> Edges:
    """Return the declared pairs.

    Variants share a product. Substitutes share leaf and style. A complement is an item of the same style in the
    leaf that complements the item's own. Of the last two, the ``PER_ITEM`` that follow the item in a ring are declared.
    """
    shelf = catalogue.leaf * len(STYLES) + catalogue.style
    wanted = np.asarray(complement_of_leaf())[catalogue.leaf] * len(STYLES) + catalogue.style
    parts = [
        ("variant", *_pairs(catalogue.product, catalogue.product, 2)),
        ("substitute", *_pairs(shelf, shelf, PER_ITEM)),
        ("complement", *_pairs(wanted, shelf, PER_ITEM)),
    ]
    item, other, relation = [], [], []
    for name, left, right in parts:
        keep = left != right
        if name != "variant":
            keep &= catalogue.product[left] != catalogue.product[right]
        item.append(left[keep])
        other.append(right[keep])
        relation.append(np.full(keep.sum(), name))
    return Edges(np.concatenate(item), np.concatenate(other), np.concatenate(relation))


def _pairs(
    sought: NDArray[np.int64], shelf: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (item, other) with ``shelf[other] == sought[item]``: ``count`` others at most, from the item's code on."""
    order = np.argsort(shelf, kind="stable")
    first = np.searchsorted(shelf[order], sought, side="left")
    size = np.searchsorted(shelf[order], sought, side="right") - first
    item = np.arange(len(sought))
    steps = np.arange(1, count + 1)
    valid = steps <= size[:, None]
    place = first[:, None] + (item[:, None] + steps) % np.maximum(size, 1)[:, None]
    rows = np.broadcast_to(item[:, None], place.shape)
    return rows[valid], order[np.minimum(place, len(order) - 1)][valid]
