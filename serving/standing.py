"""What a piece of evidence is worth to an item: how far the item falls when the request is asked without it.

An item's standing is minus the binary logarithm of its place: one doubling of the place is one unit, wherever in the
list it happens. Evidence overlaps (a search and the last purchase may point to the same shelf), so taking away
one piece alone understates both. The worth of a piece is therefore its Shapley value, the mean over all orders in which
evidence may come in of what it then adds (Shapley 1953; for explanations Strumbelj & Kononenko 2014): exact, since
there are six pieces at most. All worths add up to standing with everything less standing with nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import factorial, log2

Subset = frozenset[str]


def subsets(kinds: Sequence[str]) -> list[Subset]:
    """Return every subset of the kinds of evidence, the empty one first."""
    return [frozenset(chosen) for size in range(len(kinds) + 1) for chosen in combinations(kinds, size)]


def standing(place: int | None, last: int) -> float:
    """Return minus log2 of a place from 1; an item that is not listed stands just behind the ``last`` place."""
    return -log2(last + 1 if place is None else place)


def worths(kinds: Sequence[str], standings: Mapping[Subset, float]) -> dict[str, float]:
    """Return the Shapley value of each kind of evidence, in doublings of the place.

    Args:
        kinds: distinct.
        standings: of the item, by the evidence that is known; of every subset.
    """
    count = len(kinds)
    found = dict.fromkeys(kinds, 0.0)
    for kind in kinds:
        others = [other for other in kinds if other != kind]
        for known in subsets(others):
            share = factorial(len(known)) * factorial(count - len(known) - 1) / factorial(count)
            found[kind] += share * (standings[known | {kind}] - standings[known])
    return found
