"""The two steps of a request that can be cut: sources one after another, and the reranker in slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from retrieval.filters import Allowed
from retrieval.sources import Ask, Ranked, Source, empty
from serving.pace import RERANK, Costs, Pace, source_step

SLICE = 5
"""Candidates that the reranker reads at a time where the time does not allow all at once."""
_SLICE_COST = "rerank of a slice"
_FREE = 1e-6
"""Seconds of a step that was never taken: it comes first, and is known from then on."""


def ask_in_time(
    sources: Mapping[str, Source], ask: Ask, k: int, allowed: Allowed, weights: Mapping[str, float], pace: Pace
) -> dict[str, Source]:
    """Ask sources while the time allows, those first that say most for their time; return them with their answers.

    A source left out answers with an empty list, so ranks keep their columns; but some source is asked until an item
    is found. Asked deeper, as blending does where variants leave a list short, a source answers what it has where the
    time allows no more.

    Args:
        sources: by name.
        ask: one request.
        k: items asked of each.
        allowed: what may come up.
        weights: what each source says in the blend.
        pace: of the request.
    """
    lists: dict[str, Ranked] = {}
    for name in _by_worth(sources, weights, pace.costs):
        if pace.affords(source_step(name)):  # else a cheaper one may still fit
            with pace.step(source_step(name)):
                lists[name] = sources[name](ask, k, allowed)
    for name in sorted(sources.keys() - lists.keys(), key=lambda name: pace.costs.of(source_step(name))):
        if any((items != NO_ITEM).any() for items, _ in lists.values()):
            break
        with pace.step(source_step(name)):
            lists[name] = sources[name](ask, k, allowed)
    if len(lists) < len(sources):
        pace.cut(f"sources, after {len(lists)} of {len(sources)}")
    return {name: _remembering(name, source, k, lists.get(name), pace) for name, source in sources.items()}


def cheapest(sources: Mapping[str, Source], costs: Costs) -> str:
    """Return the step of the source that takes least; one is always asked."""
    return min(map(source_step, sources), key=costs.of)


def _by_worth(sources: Mapping[str, Source], weights: Mapping[str, float], costs: Costs) -> list[str]:
    return sorted(sources, key=lambda name: -weights[name] / max(costs.of(source_step(name)), _FREE))


def _remembering(name: str, source: Source, depth: int, known: Ranked | None, pace: Pace) -> Source:
    def answer(ask: Ask, k: int, allowed: Allowed) -> Ranked:
        if known is not None and k == depth:
            return known
        if known is not None and pace.affords(source_step(name)):
            with pace.step(source_step(name)):
                return source(ask, k, allowed)
        lists = empty(len(ask), k)
        if known is not None:
            pace.cut(f"sources, none of them deeper than {depth}")
            for whole, part in zip(lists, known, strict=True):
                whole[:, :depth] = part
        return lists

    return answer


def read_in_time(score: Callable[[slice], NDArray[np.float32]], candidates: int, pace: Pace) -> NDArray[np.float32]:
    """Return the reranker's scores of as many leading candidates as the time allows, all of them at once if it can.

    Args:
        score: of some of the candidates.
        candidates: to be read.
        pace: of the request.
    """
    if not pace.sliced and pace.affords(RERANK):
        with pace.step(RERANK):
            return score(slice(0, candidates))
    parts = [np.empty(0, dtype=np.float32)]
    done = 0
    while done < candidates and pace.affords(_SLICE_COST):
        with pace.step(RERANK, measured_as=_SLICE_COST):
            parts.append(score(slice(done, done + SLICE)))
        done = min(done + SLICE, candidates)
    if done < candidates:
        pace.cut(f"{RERANK}, after {done} of {candidates}")
    return np.concatenate(parts)
