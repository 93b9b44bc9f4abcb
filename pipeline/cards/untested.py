"""What a run did not test, told from what it has: a sentence for each thing that nobody measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from commerce.columns import INTENTS, MICROSECONDS, NO_QUERY
from commerce.records import Requests
from configs.schema import Config

_WEEK = 7 * 86_400 * MICROSECONDS


@dataclass(frozen=True)
class Tested:
    """What the sentences are told from."""

    config: Config
    metrics: Mapping[str, Any]
    """``metrics.json``; empty where nothing was measured."""
    asked: Requests | None
    """All of the test window; None without a log."""
    reranker: bool
    """Whether one ships."""


def untested(tested: Tested) -> list[str]:
    """Return what was not tested."""
    if not tested.metrics or tested.asked is None:
        return ["Everything: the shop has no log, so there was nothing to measure an answer by."]
    return [
        *_kinds_of_requests(tested.config, tested.asked),
        *_segments(tested.config, tested.metrics),
        *_protocol(tested.config, tested.metrics, tested.asked),
        *_fairness(tested.config),
        *_models(tested),
    ]


def _kinds_of_requests(config: Config, asked: Requests) -> Iterator[str]:
    data, searches = config.data, int((asked.query != NO_QUERY).sum())
    if not (set(data.modelled_categories) | (set(data.user_numeric) - set(data.sensitive))):
        yield "Profiles: no user features are declared, so none was read."
    if not searches:
        yield "Search: no request of the test window has search terms."
    if searches == len(asked):
        yield "Recommendation without search terms: every request of the test window has some."
    missing = [intent for code, intent in enumerate(INTENTS) if not (asked.intent == code).any()]
    if missing:
        yield f"Intent {' and '.join(missing)}: no request of the test window has this label."


def _segments(config: Config, metrics: Mapping[str, Any]) -> Iterator[str]:
    sizes, least = metrics.get("segment_sizes", {}), config.evaluate.segment_min_users
    for name, what in (("user: new", "New users"), ("item: cold", "New items")):
        if name not in sizes:
            yield f"{what} by themselves: either no test request is of that kind (`{name}`), or all are."
    few = [f"`{name}` ({found['users']:,})" for name, found in sizes.items() if found["users"] < least]
    if few:
        yield (
            f"Reliably: segments of fewer than {least:,} users (`evaluate.segment_min_users`), whose intervals are "
            f"wide: {', '.join(few)}."
        )


def _protocol(config: Config, metrics: Mapping[str, Any], asked: Requests) -> Iterator[str]:
    most = config.evaluate.max_requests
    if most and most < len(asked):
        yield f"{len(asked) - metrics['requests']:,} of {len(asked):,} test requests (`evaluate.max_requests`)."
    if not metrics["filter_seen"] and not config.evaluate.new_items_too:
        yield "Finding items new to their user: repeats count here, and `evaluate.new_items_too` is off."
    if metrics["window"]["from"] is not None and len(asked) and np.ptp(asked.time) < 2 * _WEEK:
        yield "Other weeks and seasons: the test window is a single stretch of less than two weeks."
    yield f"Another seed: all was trained once, with seed {metrics['seed']}; intervals tell of users, not of trainings."
    yield "The effect on users: requests are of a log made under other lists; only an experiment with users shows that."


def _fairness(config: Config) -> Iterator[str]:
    silent = [name for name in config.data.sensitive if f"user:{name}" not in config.evaluate.segments]
    if silent:
        yield f"Users told apart by {', '.join(silent)}: declared sensitive, but not among `evaluate.segments`."
    if not config.evaluate.item_group:
        yield "Whether groups of items (sellers, say) are shown alike: `evaluate.item_group` names none."


def _models(tested: Tested) -> Iterator[str]:
    missing = [name for name in ("popularity", "item_knn", "bm25") if name not in tested.metrics["systems"]]
    if missing:
        yield f"Against {', '.join(missing)}: not among the systems that ran beside."
    if not tested.reranker:
        yield "The reranker in service: its gate stayed shut, so none ships."
    if not tested.metrics.get("intent"):
        yield "The intent head: no request of the test window has a label."
