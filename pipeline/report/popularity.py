"""Popularity bias: how much of what is shown goes to the head, the torso and the tail of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.exposure import exposures
from commerce.segments import events_before, item_classes
from pipeline.report.evidence import Measurement, Shop

CLASSES = ("head", "torso", "tail")
CHOSEN = "users' choices"
"""Stands among the systems for what users actually chose."""
CATALOGUE = "catalogue"
"""Stands for the items themselves, each counted once."""


@dataclass(frozen=True)
class Shares:
    """Where one system's places, or the users' choices, go."""

    name: str
    shares: dict[str, float]
    """By class in ``CLASSES``; they add up to 1, or to 0 where nothing was shown."""
    cold: float
    """Share of items that nobody met before the window; part of the tail."""


def popularity_shares(measurement: Measurement, shop: Shop, k: int) -> list[Shares]:
    """Return the shares of the catalogue, of what users chose, and of each system's first ``k`` places."""
    items = int(measurement.metrics["items"])
    classes = item_classes(events_before(shop.histories, shop.cuts, items))
    chosen = np.bincount(measurement.relevant.items, minlength=items)
    found = [
        shares_of(CATALOGUE, np.ones(items, dtype=np.int64), classes),
        shares_of(CHOSEN, chosen, classes),
    ]
    for system in measurement.systems:
        found.append(shares_of(system, exposures(measurement.ranked(system, k), k, items), classes))
    return found


def shares_of(name: str, counts: NDArray[np.integer], classes: dict[str, NDArray[np.bool_]]) -> Shares:
    """Return what share of ``counts`` ([items]) each class (name -> [items], as ``item_classes`` gives) has."""
    total = max(1, int(counts.sum()))
    share = {name: float(counts[members].sum()) / total for name, members in classes.items()}
    return Shares(name, {name: share[name] for name in CLASSES}, share["cold"])
