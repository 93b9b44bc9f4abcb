"""Candidate sources by name, over a folder of counts: the same in the pipeline and in serving."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from commerce.edges import Edges
from retrieval.filters import ALWAYS_FROM
from retrieval.sources import (
    AssociationSource,
    PopularitySource,
    RepeatSource,
    Segments,
    Source,
    TasteSource,
    VectorIndex,
    VectorSource,
    action_weights,
)

ASSOCIATIONS, POPULARITY, TASTES, LEXICAL = "associations.npz", "popularity.npy", "tastes.npz", "lexical"
POPULARITY_BY, NEWEST = "popularity_by.npz", "newest.npy"
"""Files, and for ``lexical`` a folder, of what was counted for a window."""


def open_sources(
    names: Sequence[str],
    statistics: Path,
    *,
    associations_halflife: float,
    repeats_targets: Mapping[str, float],
    repeats_others: float,
    repeats_halflife_days: float,
    index: Callable[[], VectorIndex] | None = None,
    texts: Callable[[], Sequence[str]] | None = None,
    popularity_column: int | None = None,
    popularity_prior: float = 0.0,
) -> dict[str, Source]:
    """Build the sources named; what one needs is only read where it is named.

    Args:
        names: of ``vectors``, ``associations``, ``repeats``, ``popularity``, ``newest``, ``tastes`` and ``lexical``.
        statistics: folder with a window's counts.
        associations_halflife: in moments.
        repeats_targets: action -> what one event counts in ``repeats``.
        repeats_others: what an event of any other action counts.
        repeats_halflife_days: after which an event counts half.
        index: opens the item index.
        texts: reads the items' texts, by item code, where ``lexical`` is to index them anew; else its index is read
            from ``statistics``.
        popularity_column: of the declared feature by which ``popularity`` tells users apart; None: not at all.
        popularity_prior: as ``Segments.prior``.

    Raises:
        ValueError: for a name that is not known, or a source that lacks what it needs.
    """

    def vectors() -> Source:
        if index is None:
            raise ValueError("source `vectors` needs the item index")
        return VectorSource(index())

    def lexical() -> Source:
        # bm25s and jieba come with the extras `lexical` and `train` only.
        from retrieval.lexical import LexicalSource

        return LexicalSource.load(statistics / LEXICAL) if texts is None else LexicalSource.build(texts())

    def popularity() -> Source:
        counts = np.load(statistics / POPULARITY, allow_pickle=False)
        if popularity_column is None:
            return PopularitySource(counts)
        segments = Segments(Edges.load(statistics / POPULARITY_BY), popularity_column, popularity_prior)
        return PopularitySource(counts, segments)

    builders: dict[str, Callable[[], Source]] = {
        "vectors": vectors,
        "associations": lambda: AssociationSource(Edges.load(statistics / ASSOCIATIONS), associations_halflife),
        "repeats": lambda: RepeatSource(action_weights(repeats_targets, repeats_others), repeats_halflife_days),
        "popularity": popularity,
        "newest": lambda: PopularitySource(np.load(statistics / NEWEST, allow_pickle=False)),
        "tastes": lambda: TasteSource(Edges.load(statistics / TASTES)),
        "lexical": lexical,
    }
    unknown = [name for name in names if name not in builders]
    if unknown:
        raise ValueError(f"no candidate source is called {', '.join(unknown)}; there are {', '.join(builders)}")
    return {name: builders[name]() for name in names}


def by_date(since: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return what ``newest`` counts, ``[items]``: the later an item came, the more; 0 where the shop does not say when.

    Args:
        since: ``[items]``, microseconds; ``ALWAYS_FROM`` where it is not said.
    """
    dated = since > ALWAYS_FROM
    counts = np.zeros(len(since), dtype=np.float32)
    counts[dated] = 1 + np.unique(since[dated], return_inverse=True)[1]
    return counts
