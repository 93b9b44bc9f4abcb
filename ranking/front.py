"""The front of quality and cost: which reranker is the cheapest whose order is as good as the best, as far as is seen.

Every point of a grid (attention, layers, depth) brings its NDCG on the same requests and what a request costs. A point
is as good as the best unless the interval of their difference, paired over users, lies below zero; of those as good as
the best the cheapest is chosen. The blended order, which costs nothing, is one of the points: where even it is not
below the best beyond chance, re-ordering has not shown any worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from commerce.intervals import Interval, draw_means


class Shape(NamedTuple):
    """What a reranker is trained for."""

    attention: str
    layers: int


class Point(NamedTuple):
    """A reranker and how many of the first candidates it re-orders."""

    attention: str
    layers: int
    depth: int

    @property
    def shape(self) -> Shape:
        """Return what is trained: depth is but how much of a list it is used on."""
        return Shape(self.attention, self.layers)


BLENDED = Point("none", 0, 0)
"""The blended order as it is: nothing is re-ordered."""


@dataclass(frozen=True)
class Standing:
    """How a point stands among all."""

    quality: Interval
    """Mean NDCG."""
    minus_best: Interval
    """The same minus that of the best point, paired over users."""
    unbeaten: bool
    """Whether no other point is at least as good and as cheap, and better in one of the two."""

    @property
    def as_good(self) -> bool:
        """Whether it is not below the best beyond chance."""
        return self.minus_best.high >= 0


@dataclass(frozen=True)
class Front:
    """All points, and the one to take."""

    standings: dict[Point, Standing]
    best: Point
    """With the highest mean; the cheapest of equals."""
    choice: Point
    """The cheapest that is as good as the best; ``BLENDED`` where that is the blended order."""


def choose_point(
    ndcg: Mapping[Point, NDArray[np.float64]],
    cost: Mapping[Point, float],
    users: NDArray[np.integer],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Front:
    """Compare all points with the best of them and choose the cheapest that is as good.

    Args:
        ndcg: ``[requests]`` of each point, all on the same requests.
        cost: of a request, of each point, in one unit.
        users: ``[requests]``, whose request it is.
        resamples: of users, behind the intervals.
        confidence: of the intervals.
        seed: of the resampling.

    Raises:
        ValueError: without requests.
    """
    points = list(ndcg)
    drawn = draw_means(np.stack([ndcg[point] for point in points], axis=1), users, resamples=resamples, seed=seed)
    qualities = dict(zip(points, drawn.intervals(confidence), strict=True))
    best = max(points, key=lambda point: (qualities[point].value, -cost[point]))
    of_best = drawn.of(_column(points, best))
    standings = {
        point: Standing(
            qualities[point],
            (drawn.of(_column(points, point)) - of_best).intervals(confidence)[0],
            not any(_beats(other, point, qualities, cost) for other in points),
        )
        for point in points
    }
    good = [point for point in points if standings[point].as_good]
    choice = min(good, key=lambda point: (cost[point], -qualities[point].value))
    return Front(standings, best, choice)


def _column(points: list[Point], point: Point) -> slice:
    place = points.index(point)
    return slice(place, place + 1)


def _beats(one: Point, other: Point, qualities: Mapping[Point, Interval], cost: Mapping[Point, float]) -> bool:
    better = qualities[one].value - qualities[other].value
    cheaper = cost[other] - cost[one]
    return better >= 0 and cheaper >= 0 and (better > 0 or cheaper > 0)
