"""What an item's score is made of, in the unit of the shown score.

A blended score is a sum over the sources that found the item, so its parts are exact (beside a reranker: above what is
usual in this list). Where the reranker read the item,
each of its numeric features, and the words of the request, is replaced by what is usual in this list (features: their
mean over the candidates; words: none), alone, and the loss is its part. For the linear path from the features to the
score that is exact; what several features do together in the hidden layer is told under each of them. Both shares are
scaled as ``ranking.fusion`` mixes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrieval.blending import blend_name, reciprocal_ranks
from serving.reason_words import SOURCES, feature_words
from serving.reranking import features_read, heard_by_reranker

if TYPE_CHECKING:
    from serving.requests import Request
    from serving.runtime import Runtime
from serving.trace import Trace


@dataclass(frozen=True)
class Part:
    """Something that an item's standing is owed to."""

    words: str
    value: float


def score_parts(runtime: Runtime, request: Request, trace: Trace, item: int) -> tuple[Part, ...]:
    """Return the parts of an item's score, the largest in size first; none for what is no candidate."""
    at = np.flatnonzero(trace.found.items[0] == item)
    if not len(at):
        return ()
    place, weight = int(at[0]), runtime.reranker_weight(request)
    shares = _of_sources(runtime, request, trace)
    if weight is not None and place < trace.reranked:
        read = slice(0, trace.reranked)
        shares = (shares - shares[read].mean(axis=0)) * (1.0 - weight) / _spread(trace.found.scores[0, read])
    parts = [
        Part(f"found: {SOURCES.get(name, name)}", float(share))
        for name, share in zip(trace.found.sources, shares[place], strict=True)
    ]
    if weight is not None and place < trace.reranked:
        parts += _of_features(runtime, trace, place, weight)
    return tuple(sorted((part for part in parts if abs(part.value) > 1e-9), key=lambda part: -abs(part.value)))


def _of_sources(runtime: Runtime, request: Request, trace: Trace) -> NDArray[np.float64]:
    """Return what each source adds to each candidate's blended score, ``[candidates, sources]``."""
    say = runtime.contents.blends[blend_name(runtime.protocol(request), request.query.strip())]
    weights = np.array([say.weights[name] for name in trace.found.sources])
    return weights * reciprocal_ranks(trace.found.ranks[0], say.rank_constant)


def _of_features(runtime: Runtime, trace: Trace, place: int, weight: float) -> list[Part]:
    """Return what each feature, and the words, add to the score of the candidate at ``place``."""
    items, features = trace.found.items[0, : trace.reranked], features_read(runtime.contents, trace, trace.reranked)
    intents = heard_by_reranker(runtime.contents, trace).intent
    read = runtime.models.score(trace.context, items, features, intents)
    scale = weight / _spread(read)
    changed = np.tile(features[place], (features.shape[1], 1))
    np.fill_diagonal(changed, features.mean(axis=0))
    same = np.full(len(changed), items[place], dtype=np.int32)
    losses = read[place] - runtime.models.score(trace.context, same, changed, intents)
    wordless = runtime.models.score("", same[:1], features[place : place + 1], intents)
    names = runtime.manifest["models"]["reranker"]["features"]
    parts = [Part(feature_words(name), float(loss) * scale) for name, loss in zip(names, losses, strict=True)]
    return [*parts, Part("how its text fits the request's words", float(read[place] - wordless[0]) * scale)]


def _spread(scores: NDArray[np.float32]) -> float:
    """Return the standard deviation that ``ranking.fusion`` divides by; 1 where all are equal."""
    spread = float(scores.astype(np.float64).std())
    return spread if spread > 1e-9 else 1.0
