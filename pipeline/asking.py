"""Turns requests into what candidate sources are asked, block by block: one loop for retrieval and baselines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.columns import NO_QUERY
from commerce.histories import Histories
from commerce.records import Requests
from commerce.seen import seen_pairs
from configs.schema import Config
from pipeline.run_folder import RunFolder
from retrieval import opening
from retrieval.filters import NOTHING, Allowed
from retrieval.sources import Ask, Source, VectorIndex

BASELINES = {
    "popularity": "popularity",
    "item_knn": "associations",
    "personal_frequency": "repeats",
    "bm25": "lexical",
}
"""Baseline in the tables -> the candidate source that it is, run alone."""


@dataclass(frozen=True)
class Shop:
    """What every block is cut from, memory-mapped."""

    histories: Histories
    available_from: NDArray[np.int64]
    """``[items]``."""
    available_until: NDArray[np.int64]
    """``[items]``, exclusive."""
    queries: Sequence[str]
    """Search terms by query code."""
    targets: Mapping[str, float]
    """Action -> weight."""
    profiles: NDArray[np.int32]
    """``[users, features]``: category codes of declared features."""

    @classmethod
    def open(cls, prepared: Path, targets: Mapping[str, float]) -> Shop:
        """Open what ``prepare`` wrote into ``prepared``."""
        with np.load(prepared / "availability.npz") as availability:
            start, stop = availability["from"], availability["until"]
        queries = pq.read_table(prepared / "queries.parquet").sort_by("query")["text"].to_pylist()
        profiles = np.load(prepared / "users_features" / "categorical.npy", mmap_mode="r")
        return cls(Histories.open(prepared / "histories"), start, stop, queries, targets, profiles)

    @property
    def items(self) -> int:
        """Number of items in the catalogue."""
        return len(self.available_from)


def blocks(
    shop: Shop, requests: Requests, vectors: NDArray[np.float32] | None, *, filter_seen: bool, size: int
) -> Iterator[tuple[slice, Ask, Allowed]]:
    """Yield (rows of the block, what is asked, what may be answered).

    Args:
        shop: where histories, availability and queries are.
        requests: in any order.
        vectors: ``[requests, dim]`` of the user tower; None where no source reads them.
        filter_seen: whether items that the user had before the request are excluded.
        size: requests in a block.
    """
    for start in range(0, len(requests), size):
        rows = slice(start, min(start + size, len(requests)))
        events = [
            shop.histories.events(int(user), int(end))
            for user, end in zip(requests.user[rows], requests.history_end[rows], strict=True)
        ]
        moment = requests.time[rows]
        asked = Ask(
            events=events,
            vectors=np.zeros((len(events), 0), np.float32) if vectors is None else np.asarray(vectors[rows]),
            time=moment,
            queries=["" if code == NO_QUERY else shop.queries[code] for code in requests.query[rows]],
            profile=np.asarray(shop.profiles[requests.user[rows]]),
        )
        excluded = [NOTHING] * len(events)
        if filter_seen:
            ends = requests.history_end[rows]
            row, had = seen_pairs(shop.histories, requests.user[rows], ends, list(shop.targets))
            excluded = np.split(had, np.searchsorted(row, np.arange(1, len(events))))
        yield rows, asked, Allowed(shop.available_from, shop.available_until, moment, excluded)


def open_sources(
    names: Sequence[str],
    statistics: Path,
    config: Config,
    index: VectorIndex | None = None,
    texts: Path | None = None,
    *,
    baselines: bool = False,
) -> dict[str, Source]:
    """Build candidate sources as the config has them.

    Args:
        names: as in ``retrieval.sources``.
        statistics: folder of the window's counts, as ``retrieve`` writes it.
        config: whole.
        index: for ``vectors``.
        texts: ``item_texts.parquet``, where ``lexical`` is to index it instead of reading its index in ``statistics``.
        baselines: whether they are to be compared with: popularity then is the same for everybody.
    """
    settings = config.retrieval
    return opening.open_sources(
        names,
        statistics,
        associations_halflife=settings.associations_halflife,
        repeats_targets=config.prepare.targets,
        repeats_others=settings.repeats_others,
        repeats_halflife_days=settings.repeats_halflife_days,
        index=None if index is None else lambda: index,
        texts=None if texts is None else lambda: pq.read_table(texts).sort_by("item")["text"].to_pylist(),
        popularity_column=None if baselines else popularity_column(config),
        popularity_prior=settings.popularity_prior,
    )


def popularity_column(config: Config) -> int | None:
    """Return the place, among the users' declared categories, of the one that ``popularity`` tells users apart by."""
    by = config.retrieval.popularity_by
    return config.data.modelled_categories.index(by) if by else None


def statistics_folder(run: RunFolder, window: str) -> Path:
    """Return where ``retrieve`` put the counts that candidate sources use for ``window``."""
    return run.stage("retrieve") / "statistics" / window
