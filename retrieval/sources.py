"""Candidate sources: each answers what is asked with items and scores of its own kind, best first.

A source is called with (ask, k, allowed) and returns items int32 and scores float32, ``[requests, k]``, ordered by
(score desc, item asc), ended by ``NO_ITEM`` and ``-inf``. Everything it returns is allowed. The same objects are
candidate sources in the pipeline and in serving, and, run alone, the baselines of the evaluation.
NumPy and FAISS only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, DAY, NO_ITEM
from commerce.edges import Edges
from commerce.histories import Events
from commerce.ranked_lists import rank_scores
from commerce.stretches import stretches
from retrieval.filters import Allowed

Ranked = tuple[NDArray[np.int32], NDArray[np.float32]]

_FORGOTTEN = 1e-3
"""A history event whose say has fallen below this share is no longer looked at."""


@dataclass(frozen=True)
class Ask:
    """What is known about each request of a block."""

    events: Sequence[Events]
    """What each user did strictly before the moment, oldest first."""
    vectors: NDArray[np.float32]
    """``[requests, dim]``: the user tower's."""
    time: NDArray[np.int64]
    """``[requests]``: microseconds UTC."""
    queries: Sequence[str]
    """Search terms, empty without."""
    profile: NDArray[np.int32] | None = None
    """``[requests, features]``: category codes of the users' declared features, 0 where unknown; None: all are."""

    def __len__(self) -> int:
        return len(self.events)

    def of(self, rows: NDArray[np.integer]) -> Ask:
        """Return the requests ``rows``, in that order."""
        events, queries = [self.events[row] for row in rows], [self.queries[row] for row in rows]
        profile = None if self.profile is None else self.profile[rows]
        return Ask(events, self.vectors[rows], self.time[rows], queries, profile)


class Source(Protocol):
    """Answers a block of requests."""

    def __call__(self, ask: Ask, k: int, allowed: Allowed) -> Ranked:
        """Return the best ``k`` allowed items of each request and their scores."""
        ...


class VectorIndex(Protocol):
    """Finds items by vector: an ``ItemIndex``, a ``MilvusIndex``."""

    def search(self, vectors: NDArray[np.floating], k: int, allowed: Allowed | None = None) -> Ranked:
        """Return the ``k`` best allowed items of each request and their inner products, as ``ItemIndex.search``."""
        ...


@dataclass(frozen=True)
class VectorSource:
    """The items whose vectors lie nearest to the user's."""

    index: VectorIndex

    def __call__(self, ask: Ask, k: int, allowed: Allowed) -> Ranked:
        """Search the index; the score is the inner product. Nothing is near a vector of zeros: nothing is known."""
        known = ask.vectors.any(axis=1)
        if known.all():
            return self.index.search(ask.vectors, k, allowed)
        rows, ranked = np.flatnonzero(known), empty(len(ask), k)
        if len(rows):
            ranked[0][rows], ranked[1][rows] = self.index.search(ask.vectors[rows], k, allowed.of(rows))
        return ranked


@dataclass(frozen=True)
class AssociationSource:
    """Item-kNN with recency: the items that go with what the user met last.

    An item's score is the sum, over the events of the history, of the edge from the event's item to it, times one
    half for every ``halflife`` moments that came after. A moment is a group of events at one time: a basket, say.
    """

    edges: Edges
    halflife: float
    """In moments of the user's history."""

    def __call__(self, ask: Ask, k: int, allowed: Allowed) -> Ranked:
        """Add up the edges of each user's recent items."""
        ranked = empty(len(ask), k)
        for row, events in enumerate(ask.events):
            items, scores = self._score(events)
            place_best(ranked, row, items, scores, allowed)
        return ranked

    def _score(self, events: Events) -> Ranked:
        met = events.item != NO_ITEM
        item, time = events.item[met], events.time[met]
        later = np.concatenate([np.cumsum((time[1:] != time[:-1])[::-1])[::-1], [0]])[: len(item)]
        say = 0.5 ** (later / self.halflife)
        recent = say >= _FORGOTTEN
        return add_edges(self.edges, item[recent], say[recent])


@dataclass(frozen=True)
class TasteSource:
    """The items that the whole of a history speaks for: each distinct item counts once, however long ago."""

    edges: Edges
    """Of ``commerce.tastes``; weights may be negative."""

    def __call__(self, ask: Ask, k: int, allowed: Allowed) -> Ranked:
        """Add up the edges of each user's items; what is not spoken for is not offered."""
        ranked = empty(len(ask), k)
        for row, events in enumerate(ask.events):
            own = np.unique(events.item[events.item != NO_ITEM])
            items, scores = add_edges(self.edges, own, np.ones(len(own)))
            place_best(ranked, row, items[scores > 0], scores[scores > 0], allowed)
        return ranked


@dataclass(frozen=True)
class RepeatSource:
    """The user's own items, by how often and how lately they were met (personal frequency)."""

    weights: NDArray[np.float32]
    """``[actions]``: what one event of each action counts; 0 leaves it out."""
    halflife_days: float
    """Days after which an event counts half."""

    def __call__(self, ask: Ask, k: int, allowed: Allowed) -> Ranked:
        """Count each user's own items."""
        ranked = empty(len(ask), k)
        for row, events in enumerate(ask.events):
            weight = self.weights[events.action]
            own = (events.item != NO_ITEM) & (weight > 0)
            age = (ask.time[row] - events.time[own]) / DAY
            items, place = np.unique(events.item[own], return_inverse=True)
            say = weight[own] * 0.5 ** (age / self.halflife_days)
            scores = np.bincount(place, weights=say, minlength=len(items)).astype(np.float32)
            place_best(ranked, row, items, scores, allowed)
        return ranked


@dataclass(frozen=True)
class Segments:
    """What users of each category of one declared feature chose."""

    counts: Edges
    """From a category's code to the items that its users chose; code 0, unknown, has none."""
    column: int
    """Of the feature in ``Ask.profile``."""
    prior: float
    """Choices of all users that a segment's own are mixed with: a small segment is much like the whole."""

    def smoothed(self, counts: NDArray[np.float32], segment: int) -> NDArray[np.float32]:
        """Return ``[items]``: a segment's shares, with a Dirichlet prior around those of all, as counts of all users.

        Args:
            counts: ``[items]``, of all users.
            segment: code of the category.
        """
        span = slice(self.counts.offsets[segment], self.counts.offsets[segment + 1])
        total = float(counts.sum())
        own = counts.astype(np.float64) * (self.prior / max(total, 1e-9))
        np.add.at(own, self.counts.other[span], self.counts.weight[span])
        smoothed: NDArray[np.float32] = (own * (total / max(float(own.sum()), 1e-9))).astype(np.float32)
        return smoothed


@dataclass(frozen=True)
class PopularitySource:
    """The items that most users chose: of all users, or of those who are like this one."""

    counts: NDArray[np.float32]
    """``[items]``; items counted 0 are not offered."""
    segments: Segments | None = None
    """None: the same for everybody."""

    def __call__(self, ask: Ask, k: int, allowed: Allowed) -> Ranked:
        """Go down the list of each segment until every request has ``k`` items that it may be shown."""
        ranked = empty(len(ask), k)
        of = np.zeros(len(ask), dtype=np.int64)
        if self.segments is not None and ask.profile is not None:
            of = ask.profile[:, self.segments.column].astype(np.int64)
            of[of >= self.segments.counts.items] = 0
        for segment in np.unique(of):
            self._go_down(ranked, np.flatnonzero(of == segment), int(segment), k, allowed)
        return ranked

    def _go_down(self, ranked: Ranked, unsure: NDArray[np.int64], segment: int, k: int, allowed: Allowed) -> None:
        """Fill the rows ``unsure``, whose users are of one segment."""
        order, counts = self._lists(segment)
        reach = min(2 * k, len(order))
        while len(unsure):
            head = np.broadcast_to(order[:reach], (len(unsure), reach))
            shown = allowed.mask(head, unsure)
            sure = (shown.sum(axis=1) >= k) | (reach == len(order))
            for row, keep in zip(unsure[sure], shown[sure], strict=True):
                items = order[:reach][keep][:k]
                ranked[0][row, : len(items)] = items
                ranked[1][row, : len(items)] = counts[items]
            unsure, reach = unsure[~sure], min(4 * reach, len(order))

    def _lists(self, segment: int) -> Ranked:
        """Return the items offered to a segment, best first, and the scores of all; made when first asked for."""
        known: dict[int, Ranked] = self.__dict__.setdefault("_known", {})
        if segment not in known:
            counts = self.counts
            if self.segments is not None and segment:
                counts = self.segments.smoothed(self.counts, segment)
            order = np.lexsort((np.arange(len(counts)), -counts))
            known[segment] = order[counts[order] > 0].astype(np.int32), counts
        return known[segment]


def empty(requests: int, k: int) -> Ranked:
    """Return lists of nothing: ``NO_ITEM`` and ``-inf``, ``[requests, k]``."""
    return np.full((requests, k), NO_ITEM, dtype=np.int32), np.full((requests, k), -np.inf, dtype=np.float32)


def action_weights(targets: Mapping[str, float], others: float) -> NDArray[np.float32]:
    """Return what each action counts, float32 ``[actions]``: its weight in ``targets``, else ``others``."""
    weights = np.full(len(ACTION_CODES), others, dtype=np.float32)
    for action, weight in targets.items():
        weights[ACTION_CODES[action]] = weight
    return weights


def add_edges(
    edges: Edges, items: NDArray[np.int32], say: NDArray[np.floating]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return every item that some of ``items`` ([any], with a say each) lead to, ascending, and its summed weight."""
    known = items < edges.items
    items, say = items[known], say[known]
    start, stop = edges.offsets[items], edges.offsets[items + 1]
    row, at = stretches(start, stop - start)
    others, place = np.unique(edges.other[at], return_inverse=True)
    scores = np.bincount(place, weights=edges.weight[at] * say[row], minlength=len(others))
    return others, scores.astype(np.float32)


def place_best(
    ranked: Ranked, row: int, items: NDArray[np.int32], scores: NDArray[np.float32], allowed: Allowed
) -> None:
    """Put the best of ``items`` ([any], ascending) that are allowed into a row."""
    keep = allowed.row(row, items)
    places, best = rank_scores(scores[keep][None], ranked[0].shape[1])
    found = places[0] != NO_ITEM
    ranked[0][row, found] = items[keep][places[0][found]]
    ranked[1][row] = best[0]
