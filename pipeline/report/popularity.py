"""Popularity bias: how much of what is shown goes to the head, the torso and the tail of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from commerce.exposure import exposures
from commerce.segments import events_before, item_classes
from pipeline.report.evidence import Measurement, Shop

CLASSES = ("head", "torso", "tail")
CHOSEN = "users' choices"
"""Stands among the systems for what users actually chose."""
CATALOGUE = "catalogue"
"""Stands for the items themselves, each counted once."""
_TOLD = 0.01
"""From which share of requests without a list on a system's name says so; below, the tables alone do."""


@dataclass(frozen=True)
class Shares:
    """Where one system's places, or the users' choices, go."""

    name: str
    shares: dict[str, float]
    """By class in ``CLASSES``; they add up to 1, or to 0 where nothing was shown."""
    cold: float
    """Share of items that nobody met before the window; part of the tail."""
    silent: float = 0.0
    """Share of the requests that the system left without a list."""

    @property
    def label(self) -> str:
        """The name, and what a mark beside it would hide: requests without a list, which count as 0 in means."""
        if self.silent < _TOLD:
            return self.name
        return f"{self.name}<br><i>{'no list at all' if self.silent == 1 else f'no list for {self.silent:.0%}'}</i>"


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
        ranked = measurement.ranked(system, k)
        shares = shares_of(system, exposures(ranked, k, items), classes)
        found.append(replace(shares, silent=1.0 - float((ranked != NO_ITEM).any(axis=1).mean())))
    return found


def shares_of(name: str, counts: NDArray[np.integer], classes: dict[str, NDArray[np.bool_]]) -> Shares:
    """Return what share of ``counts`` ([items]) each class (name -> [items], as ``item_classes`` gives) has."""
    total = max(1, int(counts.sum()))
    share = {name: float(counts[members].sum()) / total for name, members in classes.items()}
    return Shares(name, {name: share[name] for name in CLASSES}, share["cold"])
