"""What are search terms worth as product text? BM25 over descriptions, over terms, and over both.

    python benchmarks/retrieval/search_terms.py configs/bazaar.yaml [key=value ...] [--terms 10] [--min-users 5]

Answers the requests with search terms of the test window of a run that has been prepared. Terms are those known before
that window: the queries that led most users to an item, from so many different users at least. Items whose description
shares no word with anything that was ever asked for show what terms add where a shop's own words fail.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from commerce.columns import NO_QUERY
from commerce.intervals import bootstrap, paired
from commerce.metrics import Relevant, find, ndcg, recall
from commerce.records import Requests
from commerce.warehouse import open_warehouse
from configs.load import load_config
from pipeline.asking import Shop, blocks
from pipeline.run_folder import RunFolder
from pipeline.search_terms import count_window_terms
from retrieval.lexical import LexicalSource
from retrieval.words import words

OPTIONS = {"resamples": 1000, "confidence": 0.95, "seed": 0}


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("config")
    arguments.add_argument("overrides", nargs="*")
    arguments.add_argument("--terms", type=int, default=10)
    arguments.add_argument("--min-users", type=int, default=5)
    told = arguments.parse_args()
    config = load_config(told.config, told.overrides)
    prepared = RunFolder(Path(config.run.folder)).stage("prepare")
    shop = Shop.open(prepared, config.evaluate.targets or config.prepare.targets)
    items = pq.read_table(prepared / "item_texts.parquet").sort_by("item")
    descriptions = items["description" if "description" in items.column_names else "text"].to_pylist()
    settings = replace(config.text, search_terms=told.terms, terms_min_users=told.min_users)
    with tempfile.TemporaryDirectory() as scratch:
        warehouse = open_warehouse(config.run.threads, config.data.memory_gb, Path(scratch))
        learned = np.load(prepared / "learned.npz")
        terms = count_window_terms(
            warehouse, shop.histories, learned, shop.queries, shop.items, settings, Path(scratch)
        )["test"]
    texts = {
        "description": descriptions,
        "terms": terms,
        "both": [f"{one} {other}" for one, other in zip(descriptions, terms, strict=True)],
    }
    requests = Requests.read(prepared / "requests.parquet").of("test")
    requests = requests.where(requests.query != NO_QUERY)
    relevant = Relevant(requests.offsets, requests.items, requests.gains)
    asked = {word for query in shop.queries for word in words(query)}
    bare = np.array([not asked & set(words(text)) for text in descriptions])
    print(
        f"{len(requests):,} requests with search terms; {sum(map(bool, terms)):,} of {shop.items:,} items have terms; "
        f"the descriptions of {bare.sum():,} share no word with any query"
    )
    found = {}
    for name, own in texts.items():
        source, lists = LexicalSource.build(own), np.full((len(requests), 100), -1, dtype=np.int32)
        for rows, ask, allowed in blocks(shop, requests, None, filter_seen=config.evaluate.filter_seen, size=256):
            lists[rows], _ = source(ask, 100, allowed)
        found[name] = find(lists, relevant)
    everybody, of_bare = np.ones(len(relevant.items), dtype=bool), bare[relevant.items]
    for label, keep in (("all items", everybody), ("items with bare descriptions", of_bare)):
        user = requests.user[relevant.only(keep).counts > 0]
        scores = {name: found[name].only(keep) for name in texts}
        print(f"{label}: {len(user):,} requests")
        for measure, k in ((ndcg, 10), (recall, 100)):
            values = {name: measure(one, k) for name, one in scores.items()}
            for name, own in values.items():
                mean = bootstrap(own, user, **OPTIONS)
                less = paired(own, values["description"], user, **OPTIONS)
                print(
                    f"  {measure.__name__}@{k} {name:<11} {mean.value:.4f} ({mean.low:.4f} to {mean.high:.4f}); "
                    f"- description {less.value:+.4f} ({less.low:+.4f} to {less.high:+.4f})"
                )


if __name__ == "__main__":
    main()
