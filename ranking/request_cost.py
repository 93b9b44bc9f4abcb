"""What re-ordering one request costs, measured: requests are scored one by one, as when each comes alone to a service.

Nothing is shared between requests here, so ``context_once`` reads the items of each list anew; where lists are ranked
in bulk it reads every item once at all, and is cheaper still.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ranking.batches import Examples
from ranking.cost import reading_tokens
from ranking.module import Ranker
from ranking.rerank import score_lists


@dataclass(frozen=True)
class RequestCost:
    """Of one request, on average."""

    seconds: float
    """By the clock."""
    processor_seconds: float
    """Of all threads of the process together."""
    tokens: float


def first_candidates(examples: Examples, row: int, depth: int) -> Examples:
    """Return one request with its first ``depth`` candidates."""
    one = examples.of(np.array([row]))
    return Examples(one.items[:, :depth], one.features[:, :depth], one.intent, one.contexts, one.item_tokens)


def time_requests(ranker: Ranker, requests: Sequence[Examples], *, tokens_per_batch: int) -> RequestCost:
    """Score requests one by one, in float32, and return what each cost; one more before them warms up.

    Args:
        ranker: on the device that scores.
        requests: each of one request.
        tokens_per_batch: tokens read together.
    """
    score_lists(ranker, requests[0], tokens_per_batch=tokens_per_batch, precision="fp32")
    started, processor = time.perf_counter(), time.process_time()
    for request in requests:
        score_lists(ranker, request, tokens_per_batch=tokens_per_batch, precision="fp32")
    count = len(requests)
    return RequestCost(
        (time.perf_counter() - started) / count,
        (time.process_time() - processor) / count,
        sum(reading_tokens(ranker, request) for request in requests) / count,
    )


def median_cost(rounds: Sequence[RequestCost]) -> RequestCost:
    """Return the median of each number over the rounds: one disturbed round does not count."""
    columns = zip(*((one.seconds, one.processor_seconds, one.tokens) for one in rounds), strict=True)
    return RequestCost(*(float(np.median(column)) for column in columns))
