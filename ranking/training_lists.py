"""Training lists: which requests teach an order, and which of their candidates a ranker is shown.

The candidates are streamed twice: once to see which requests are of use, once to draw from the lists of those that are
taken. What is held of a request beside its block is whether it is of use and how long its list is, a few bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from commerce.metrics import Relevant
from ranking.lists import Lists, gains_of

Read = Callable[[NDArray[np.int64]], Iterator[tuple[NDArray[np.int64], Lists]]]
"""From rows of requests, ascending, to blocks of (which of those, ascending; their lists); a request without candidates
may be left out."""


class Block(NamedTuple):
    """Some training lists."""

    rows: NDArray[np.int64]
    """Which of the requests given these are, ``[lists]``."""
    lists: Lists
    gains: NDArray[np.float32]
    """``[lists, length]``, 0 for what is not relevant."""


class TrainingLists:
    """What is trained on, by these rules.

    A request none of whose relevant items is in its list teaches nothing about the order and is left out, as is one
    whose list holds relevant items only. Of longer lists, the relevant candidates with the largest gains stay (half of
    ``length`` at most) and the rest is filled with other candidates drawn at random; shorter lists stay as they are.
    Above ``most`` requests, a random share is kept. The seed alone decides, not how lists are cut into blocks.
    """

    rows: NDArray[np.int64]
    """Requests that are trained on, ascending."""
    counts: dict[str, int]
    """Requests by what became of them, for a person."""

    def __init__(self, read: Read, relevant: Relevant, *, length: int, most: int, seed: int) -> None:
        """Look through all lists and choose the requests.

        Args:
            read: gives the lists.
            relevant: of all requests.
            length: candidates in a training list, at most.
            most: lists, at most.
            seed: of the draws.
        """
        self._read, self._relevant, self._length, self._most, self._seed = read, relevant, length, most, seed
        positives, sizes = (np.zeros(len(relevant), dtype=np.int32) for _ in range(2))
        for rows, lists in read(np.arange(len(relevant))):
            positives[rows] = (gains_of(lists.items, _relevant_of(relevant, rows)) > 0).sum(axis=1)
            sizes[rows] = lists.counts
        self._usable = np.flatnonzero((positives > 0) & (positives < sizes))
        self.rows, _ = self._draw()
        self.counts = {
            "requests": len(relevant),
            "trained on": len(self.rows),
            "without a relevant candidate": int((positives == 0).sum()),
            "with relevant candidates only": int(((positives > 0) & (positives == sizes)).sum()),
            "left out above the most": len(self._usable) - len(self.rows),
            "shorter than the list length": int((sizes[self.rows] < length).sum()),
        }

    def __len__(self) -> int:
        return len(self.rows)

    def blocks(self) -> Iterator[Block]:
        """Yield the lists, cut to their length, in the order of ``rows``."""
        rows, draw = self._draw()
        for places, lists in self._read(rows):
            gains = gains_of(lists.items, _relevant_of(self._relevant, rows[places]))
            columns = _choose(gains, lists.kept, self._length, draw)
            at = (np.arange(len(places))[:, None], columns)
            yield Block(rows[places], lists.at(at), gains[at])

    def _draw(self) -> tuple[NDArray[np.int64], np.random.Generator]:
        """Return the requests that are taken, and the generator from which their candidates are drawn next."""
        draw = np.random.default_rng([self._seed, 0x11575])
        return np.sort(draw.permutation(self._usable)[: self._most]), draw


def _relevant_of(relevant: Relevant, rows: NDArray[np.int64]) -> Relevant:
    """Return the relevant items of some requests, ascending, without a look at those before and after them."""
    first, last = int(rows[0]), int(rows[-1]) + 1
    span = slice(int(relevant.offsets[first]), int(relevant.offsets[last]))
    near = Relevant(relevant.offsets[first : last + 1] - span.start, relevant.items[span], relevant.gains[span])
    asked = np.zeros(last - first, dtype=bool)
    asked[rows - first] = True
    return near.of(asked)


def _choose(
    gains: NDArray[np.float32], kept: NDArray[np.bool_], length: int, draw: np.random.Generator
) -> NDArray[np.int64]:
    """Return the columns chosen of each list, ``[lists, min(length, width)]``, in blended order, padding last."""
    width = gains.shape[1]
    luck = draw.random(gains.shape)
    best = np.argsort(np.argsort(-(gains + luck * 1e-6), axis=1), axis=1)
    surely = (gains > 0) & (best < max(1, length // 2))
    # Sort by: chosen relevant ones, then the others at random, then surplus relevant ones, then padding.
    group = np.select([~kept, surely, gains == 0], [3.0, 0.0, 1.0], 2.0)
    columns = np.argsort(group + luck, axis=1)[:, : min(length, width)]
    last = np.where(np.take_along_axis(group, columns, axis=1) == 3.0, width, 0)
    order = np.argsort(columns + last, axis=1)
    chosen: NDArray[np.int64] = np.take_along_axis(columns, order, axis=1)
    return chosen
