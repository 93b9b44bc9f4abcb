"""Systems to be compared with: candidate sources run alone, and, where the shop is the bazaar, its oracle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.columns import NO_QUERY
from commerce.intent import IntentRules
from commerce.records import Requests
from configs.schema import Config
from pipeline.asking import BASELINES, Shop, blocks, open_sources, statistics_folder
from pipeline.run_folder import RunFolder
from pipeline.stage import Work
from pipeline.systems import Lists, Terms, without_seen
from retrieval.sources import empty

if TYPE_CHECKING:
    from commerce.bazaar.oracle import Oracle


def rank_baselines(work: Work, terms: Terms, shop: Shop) -> dict[str, Lists]:
    """Return each baseline's lists, all asked with the same events, filters and depth; no bm25 without queries."""
    config, prepared = work.config, work.run.stage("prepare")
    has_queries = bool((terms.requests.query != NO_QUERY).any())
    baselines = [name for name in config.evaluate.baselines if name != "bm25" or has_queries]
    statistics = statistics_folder(work.run, "test")
    sources = open_sources(
        [BASELINES[name] for name in baselines],
        statistics,
        config,
        texts=prepared / "item_texts.parquet",
        baselines=True,
    )
    lists = {name: empty(len(terms.requests), terms.depth) for name in baselines}
    asked = blocks(shop, terms.requests, None, filter_seen=bool(terms.seen_by), size=config.retrieval.block)
    for rows, ask, allowed in asked:
        for name, (listed, scored) in lists.items():
            listed[rows], scored[rows] = sources[BASELINES[name]](ask, terms.depth, allowed)
    return lists


def rank_oracle(work: Work, terms: Terms, shop: Shop) -> Lists:
    """Let the bazaar's oracle, which knows how the shop was made but sees only the histories, answer every request."""
    oracle = open_oracle(work.run, work.config, shop.queries)
    # The oracle has no repeat rule, so what the user had is taken out of longer lists.
    had = int(np.max(terms.requests.history_end - terms.histories.offsets[terms.requests.user])) if terms.seen_by else 0
    items, scores = oracle.rank(terms.histories, terms.requests, min(terms.depth + had, terms.items))
    return without_seen(terms, items, scores)


def oracle_intents(work: Work, requests: Requests, shop: Shop) -> NDArray[np.float32] | None:
    """Return the oracle's probability of each intent, ``[requests, 3]``; None under other label rules than it knows."""
    rules = IntentRules(
        tuple(work.config.prepare.intent_buys), work.config.prepare.intent_items, work.config.prepare.intent_returns
    )
    if rules != IntentRules() or work.config.data.event_intent:
        return None
    return open_oracle(work.run, work.config, shop.queries).intents(shop.histories, requests)


def open_oracle(run: RunFolder, config: Config, queries: Sequence[str], *, tells_intents: bool = True) -> Oracle:
    """Return the oracle of a run on the bazaar, or the one that does not tell intents."""
    from commerce.bazaar.oracle import Oracle

    ingested = run.stage("ingest")
    item_ids, user_ids = (_ids(ingested / f"{kind}_ids.parquet") for kind in ("item", "user"))
    return Oracle(config.bazaar, item_ids, user_ids, queries, tells_intents=tells_intents)


def _ids(path: Path) -> list[str]:
    ids: list[str] = pq.read_table(path).sort_by("code")["id"].to_pylist()
    return ids
