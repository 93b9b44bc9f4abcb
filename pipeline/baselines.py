"""Systems to be compared with: candidate sources run alone, and, where the shop is the bazaar, its oracle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from commerce.columns import NO_QUERY
from pipeline.asking import BASELINES, Shop, blocks, open_sources, statistics_folder
from pipeline.stage import Work
from pipeline.systems import Lists, Terms, without_seen
from retrieval.sources import empty


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
    from commerce.bazaar.oracle import Oracle

    ingested = work.run.stage("ingest")
    item_ids, user_ids = (_ids(ingested / f"{kind}_ids.parquet") for kind in ("item", "user"))
    oracle = Oracle(work.config.bazaar, item_ids, user_ids, shop.queries)
    # The oracle has no repeat rule, so what the user had is taken out of longer lists.
    had = int(np.max(terms.requests.history_end - terms.histories.offsets[terms.requests.user])) if terms.seen_by else 0
    items, scores = oracle.rank(terms.histories, terms.requests, min(terms.depth + had, terms.items))
    return without_seen(terms, items, scores)


def _ids(path: Path) -> list[str]:
    ids: list[str] = pq.read_table(path).sort_by("code")["id"].to_pylist()
    return ids
