"""Blending: lists of several sources to one, by weighted reciprocal rank.

An item scores the sum, over the sources that found it, of weight / (c + place), places counted from 1 (Cormack,
Clarke and Büttcher 2009, with weights). Scores of different kinds never meet: only ranks do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from retrieval.filters import Allowed
from retrieval.sources import Ask, Ranked, Source

SEARCHED = "_query"
"""Added to a protocol's name where its blend is for requests with search terms."""


def blend_name(protocol: str, query: str) -> str:
    """Return which blend answers a request.

    Requests with and without search terms have blends of their own: on the bazaar, where two thirds have some,
    that raised NDCG@10 of the test window from .463 to .476 and Recall@100 from .810 to .842, all of it where there
    are none (.143 to .180, .501 to .594).
    """
    return protocol + SEARCHED if query else protocol


@dataclass(frozen=True)
class Say:
    """How much each source says in a blend."""

    weights: dict[str, float]
    """By source."""
    rank_constant: float
    """c; the larger, the less the first places count for more than later ones."""


@dataclass(frozen=True)
class Found:
    """Blended candidates of a block of requests and where each came from; ``keep`` is their number at most."""

    items: NDArray[np.int32]
    """``[requests, keep]``, best first, ``NO_ITEM`` padded."""
    scores: NDArray[np.float32]
    """``[requests, keep]``: of the blend, ``-inf`` for padding."""
    sources: tuple[str, ...]
    """Names, in the order of the last axis below."""
    ranks: NDArray[np.int32]
    """``[requests, keep, sources]``: place in each source's list, from 0; -1 where it did not find the item."""
    source_scores: NDArray[np.float32]
    """``[requests, keep, sources]``: each source's own score; 0 where it did not find the item."""

    @property
    def arrays(self) -> tuple[NDArray[np.generic], ...]:
        """All arrays, requests first."""
        return self.items, self.scores, self.ranks, self.source_scores

    def put(self, rows: NDArray[np.integer], other: Found) -> None:
        """Replace the requests ``rows`` by those of ``other``, of as many candidates and the same sources."""
        for whole, some in zip(self.arrays, other.arrays, strict=True):
            whole[rows] = some


def find_candidates(
    sources: Mapping[str, Source],
    ask: Ask,
    allowed: Allowed,
    per_source: int,
    keep: int,
    says: Mapping[str, Say],
    protocol: str,
    variants: NDArray[np.int32] | None = None,
) -> Found:
    """Ask every source and blend what they find.

    Args:
        sources: by name; at least one.
        ask: a block of requests.
        allowed: what they may be answered with.
        per_source: items asked of each source.
        keep: candidates kept per request.
        says: blends by ``blend_name``.
        protocol: of all these requests.
        variants: ``[items]``, each item's group of variants, of which only the best-blended one is kept; None keeps
            all. A request whose list that leaves short is asked again, twice as deep, until it is full or no source
            has more.
    """
    lists = {name: source(ask, per_source, allowed) for name, source in sources.items()}
    names = np.array([blend_name(protocol, query) for query in ask.queries])
    found = _nothing(len(ask), keep, tuple(lists))
    for name in dict.fromkeys(names.tolist()):
        rows = np.flatnonzero(names == name)
        part = {source: (items[rows], scores[rows]) for source, (items, scores) in lists.items()}
        blended = blend(part, keep, says[name].rank_constant, says[name].weights, variants)
        found.put(rows, blended)
    if variants is not None:
        rows = _left_short(found, [items for items, _ in lists.values()])
        if len(rows):
            # Only these requests go deeper, so that no answer depends on the block that a request is asked in.
            deeper = 2 * per_source
            found.put(
                rows,
                find_candidates(sources, ask.of(rows), allowed.of(rows), deeper, keep, says, protocol, variants),
            )
    return found


def _left_short(found: Found, lists: list[NDArray[np.int32]]) -> NDArray[np.int64]:
    """Return the requests whose lists are not full because variants were dropped, though some source has more."""
    kept = (found.items != NO_ITEM).sum(axis=1)
    more = np.any([items[:, -1] != NO_ITEM for items in lists], axis=0)
    rows: NDArray[np.int64] = np.flatnonzero((kept < found.items.shape[1]) & more)
    if not len(rows):
        return rows
    distinct = np.bincount(join_lists([items[rows] for items in lists]).rows, minlength=len(rows))
    rows = rows[distinct > kept[rows]]
    return rows


def blend(
    lists: Mapping[str, Ranked],
    keep: int,
    rank_constant: float,
    weights: Mapping[str, float] | None = None,
    variants: NDArray[np.int32] | None = None,
) -> Found:
    """Blend the sources' lists ([requests, per_source] each); ties by item code.

    Of items with the same value in ``variants`` ([items]) only a request's best is kept, before the cut to ``keep``.

    Raises:
        ValueError: without sources, or where a source has no weight.
    """
    names = tuple(lists)
    missing = [name for name in names if weights is not None and name not in weights]
    if not names or missing:
        raise ValueError(f"blending needs a source and a weight for each; sources {names}, without weight {missing}")
    joined = join_lists([lists[name][0] for name in names])
    say = np.array([1.0 if weights is None else weights[name] for name in names])
    # Ordered as written, in float32, so that whoever sorts by the scores gets the same list.
    scores = (reciprocal_ranks(joined.ranks, rank_constant) @ say).astype(np.float32)
    order = np.lexsort((joined.items, -scores, joined.rows))
    if variants is not None:
        groups = joined.rows * len(variants) + variants[joined.items]
        _, best = np.unique(groups[order], return_index=True)
        order = order[np.sort(best)]
    rows = joined.rows[order]
    requests = len(next(iter(lists.values()))[0])
    place = np.arange(len(rows)) - np.searchsorted(rows, np.arange(requests))[rows]
    order, rows, place = order[place < keep], rows[place < keep], place[place < keep]

    found = _nothing(requests, keep, names)
    ranks = joined.ranks[order]
    found.items[rows, place] = joined.items[order]
    found.scores[rows, place] = scores[order]
    found.ranks[rows, place] = ranks
    for column, name in enumerate(names):
        hit = ranks[:, column] >= 0
        found.source_scores[rows[hit], place[hit], column] = lists[name][1][rows[hit], ranks[hit, column]]
    return found


def _nothing(requests: int, keep: int, names: tuple[str, ...]) -> Found:
    return Found(
        np.full((requests, keep), NO_ITEM, dtype=np.int32),
        np.full((requests, keep), -np.inf, dtype=np.float32),
        names,
        np.full((requests, keep, len(names)), -1, dtype=np.int32),
        np.zeros((requests, keep, len(names)), dtype=np.float32),
    )


@dataclass(frozen=True)
class Joined:
    """Every distinct (request, item) that some source found, sorted; arrays are ``[pairs]`` unless said."""

    rows: NDArray[np.int64]
    items: NDArray[np.int32]
    ranks: NDArray[np.int32]
    """``[pairs, sources]``, from 0; -1 where a source did not find the item."""


def join_lists(lists: list[NDArray[np.int32]]) -> Joined:
    """Join the sources' items ([requests, per_source] each) by (request, item)."""
    width = max(int(items.max(initial=0)) for items in lists) + 1
    keys, places, columns = [], [], []
    for column, items in enumerate(lists):
        rows, rank = np.nonzero(items != NO_ITEM)
        keys.append(rows * width + items[rows, rank])
        places.append(rank)
        columns.append(np.full(len(rows), column))
    pairs, where = np.unique(np.concatenate(keys), return_inverse=True)
    ranks = np.full((len(pairs), len(lists)), -1, dtype=np.int32)
    ranks[where, np.concatenate(columns)] = np.concatenate(places)
    return Joined(pairs // width, (pairs % width).astype(np.int32), ranks)


def reciprocal_ranks(ranks: NDArray[np.int32], rank_constant: float) -> NDArray[np.float64]:
    """Return 1 / (c + 1 + rank), 0 where the rank is -1."""
    return np.where(ranks >= 0, 1.0 / (rank_constant + 1.0 + np.maximum(ranks, 0)), 0.0)
