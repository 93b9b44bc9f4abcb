"""What each candidate source adds: the blend with all of them beside the blend without one, on a sample of requests.

Candidates on disk are cut to ``retrieval.candidates`` after blending, so what would have moved up without a source is
not in them. The sources are therefore asked again, once for each request of the sample, and blended once for every
source that is left out, the others' weights as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from commerce.differences import Difference, corrected, find_differences
from commerce.metrics import Relevant, find
from commerce.records import Requests
from commerce.significance import enough_draws
from pipeline.asked import WINDOW, whole_users
from pipeline.asking import Shop, blocks, open_sources, statistics_folder
from pipeline.index import towers_of
from pipeline.resampling import resampling
from pipeline.retrieve import BLENDS, VARIANTS
from pipeline.stage import Work
from retrieval.blending import Found, Say, find_candidates
from retrieval.filters import Allowed
from retrieval.index_folder import open_index
from retrieval.sources import Ask, Ranked, Source, empty

CUT = 10
"""NDCG is compared at this place, as where blends are learned."""


@dataclass(frozen=True)
class Replay:
    """A source that was asked already: it answers the same again, and only what is new goes to the source."""

    source: Source
    ask: Ask
    k: int
    ranked: Ranked

    def __call__(self, ask: Ask, k: int, allowed: Allowed) -> Ranked:
        """Answer as the source does."""
        return self.ranked if ask is self.ask and k == self.k else self.source(ask, k, allowed)


def measure_sources(
    work: Work,
    shop: Shop,
    requests: Requests,
    relevant: Relevant,
    vectors: NDArray[np.float32],
    filter_seen: bool,
) -> dict[str, Any] | None:
    """Return what ``metrics.json`` says of the sources; None where there is one source only, or none is to be measured.

    Args:
        work: of the stage ``evaluate``.
        shop: where histories and availability are.
        requests: those that are measured.
        relevant: in them.
        vectors: ``[requests, dim]`` of the user tower.
        filter_seen: whether items that a user had are left out.
    """
    config, settings = work.config, work.config.retrieval
    if len(settings.sources) < 2 or not config.evaluate.source_requests:
        return None
    sample = whole_users(requests, config.evaluate.source_requests, config.run.seed)
    requests, relevant = requests.where(sample), relevant.of(sample)
    index = open_index(work.run.stage("index"), towers_of(work.run))
    sources = open_sources(settings.sources, statistics_folder(work.run, WINDOW), config, index=index)
    retrieved = work.run.stage("retrieve")
    written = json.loads((retrieved / BLENDS).read_text())
    says = {name: Say(blend["weights"], blend["rank_constant"]) for name, blend in written.items()}
    variants = np.load(retrieved / VARIANTS) if settings.variants == "one" else None

    lists = {name: empty(len(requests), settings.candidates)[0] for name in ("", *sources)}
    only = np.zeros(len(sources), dtype=np.int64)
    hits = 0
    protocol = "filter_seen" if filter_seen else "keep_seen"
    for rows, ask, allowed in blocks(shop, requests, vectors[sample], filter_seen=filter_seen, size=settings.block):
        asked = {
            name: Replay(source, ask, settings.per_source, source(ask, settings.per_source, allowed))
            for name, source in sources.items()
        }
        for left_out, items in lists.items():
            used = {name: source for name, source in asked.items() if name != left_out}
            found = find_candidates(
                used, ask, allowed, settings.per_source, settings.candidates, says, protocol, variants
            )
            items[rows] = found.items
            if not left_out:
                some, mine = found_by(found, _part(relevant, rows))
                hits, only = hits + some, only + mine
    apart = _differences(work, lists, requests.user, relevant)
    return {
        "requests": len(requests),
        "users": len(np.unique(requests.user)),
        "candidates": settings.candidates,
        "cut": CUT,
        "relevant_found": hits,
        "sources": {
            name: {"only": float(only[place]) / max(1, hits), "weight": says[protocol].weights[name], **apart[name]}
            for place, name in enumerate(sources)
        },
    }


def found_by(found: Found, relevant: Relevant) -> tuple[int, NDArray[np.int64]]:
    """Return how many relevant items are candidates, and how many of them each source alone found, ``[sources]``."""
    width = max(int(found.items.max(initial=0)), int(relevant.items.max(initial=0))) + 1
    row, place = np.nonzero(found.items != NO_ITEM)
    hit = np.isin(row * width + found.items[row, place], relevant.rows * width + relevant.items)
    by = found.ranks[row[hit], place[hit]] >= 0
    alone = by[by.sum(axis=1) == 1]
    return int(hit.sum()), alone.sum(axis=0, dtype=np.int64)


def _part(relevant: Relevant, rows: slice) -> Relevant:
    inside = np.zeros(len(relevant), dtype=bool)
    inside[rows] = True
    return relevant.of(inside)


def _differences(
    work: Work, lists: Mapping[str, NDArray[np.int32]], users: NDArray[np.int32], relevant: Relevant
) -> dict[str, dict[str, Any]]:
    """Return, by source, what the blend with all sources has more than the one without it."""
    evaluate = work.config.evaluate
    measures = [("recall", work.config.retrieval.candidates), ("ndcg", CUT)]
    names = [name for name in lists if name]
    whole = find(lists[""], relevant)
    family: list[Difference] = []
    for name in names:
        family += find_differences(
            find(lists[name], relevant),
            whole,
            users,
            measures,
            (),
            **resampling(work.config),
            draws=enough_draws(len(names) * len(measures), evaluate.confidence),
        )
    judged: Sequence[Difference] = corrected(family)
    return {
        name: {
            kind: {"with": one.second, "without": one.first, **asdict(one.interval), "p_holm": one.p_value}
            for kind, one in zip(
                ("recall", "ndcg"), judged[len(measures) * place : len(measures) * (place + 1)], strict=True
            )
        }
        for place, name in enumerate(names)
    }
