"""The leading candidates in the reranker's order, as many of them as a request's time allows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from commerce.sensitive import tellable
from commerce.state import Candidates, Heard, candidate_features, context_text
from ranking.fusion import fuse, reorder
from serving.contents import Contents
from serving.in_time import read_in_time
from serving.models import Models
from serving.pace import FEATURES, RERANK, Pace
from serving.query_book import QueryBook
from serving.requests import Request
from serving.trace import Trace


def reranked(
    models: Models,
    contents: Contents,
    trace: Trace,
    request: Request,
    queries: QueryBook,
    weight: float,
    depth: int,
    pace: Pace,
) -> Trace:
    """Put as many leading candidates in the reranker's order as the time allows.

    Args:
        models: the bundle's graphs.
        contents: its files.
        trace: of the request, in blended order.
        request: itself.
        queries: which knows its search terms.
        weight: the reranker's say beside retrieval's, from 0 to 1.
        depth: candidates that the reranker reads at most.
        pace: what is left of the request's time.
    """
    if not pace.affords(FEATURES):
        pace.cut(RERANK)
        return trace
    depth = min(len(trace.items), depth)
    with pace.step(FEATURES):
        heard = heard_by_reranker(contents, trace)
        context = context_text(
            tellable(trace.visible.events, contents.sensitive_items),
            contents.item_texts,
            queries,
            query=request.query,
            intent=heard.named,
            profile=heard.profile,
        )
        features = features_read(contents, trace, depth)
    items = trace.items[:depth]
    read = read_in_time(lambda part: models.score(context, items[part], features[part], heard.intent), depth, pace)
    if not len(read):
        return trace
    kept = trace.found.scores[:, : len(trace.items)]
    whole = np.ones((1, len(read)), dtype=bool)
    fused = fuse(read[None], kept[:, : len(read)], whole, weight)
    one, other = reorder(trace.items[None], kept, fused)
    return replace(trace, items=one[0], scores=other[0], context=context, reranked=len(read))


def heard_by_reranker(contents: Contents, trace: Trace) -> Heard:
    """Return what the reranker is told of who asks, which may be less than is known of a request."""
    return Heard.of(contents.reranker_reads, trace.intents, trace.visible.profile)


def features_read(contents: Contents, trace: Trace, depth: int) -> NDArray[np.float32]:
    """Return the numbers that the reranker reads of the first ``depth`` candidates, ``[depth, features]``."""
    found = trace.found
    candidates = Candidates(
        found.items[0, :depth],
        found.scores[0, :depth],
        found.ranks[0, :depth],
        found.source_scores[0, :depth],
        np.arange(depth, dtype=np.int32),
    )
    facts = contents.item_facts
    return candidate_features(trace.visible.events, trace.moment, trace.vector, candidates, facts)
