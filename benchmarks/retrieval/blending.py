"""Does the blend find more than its best source alone? Recall@100 of the blend beside each source, paired over users.

    python benchmarks/retrieval/blending.py configs/bazaar.yaml [key=value ...] [--protocol keep_seen]

Needs a run up to ``retrieve``. The blend is the one that the run learned on the ``fit`` half of the validation window;
all are measured on the requests of the test window. With ``filter_seen`` items that a user had are in no list and do
not count.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from commerce.intervals import bootstrap, paired
from commerce.metrics import Relevant, find, ndcg, recall
from commerce.records import Requests
from commerce.seen import drop_seen
from configs.load import load_config
from pipeline.asking import Shop, blocks, open_sources, statistics_folder
from pipeline.index import towers_of
from pipeline.retrieve import BLENDS, PROTOCOLS
from pipeline.run_folder import RunFolder
from retrieval.blending import Say, find_candidates
from retrieval.index_folder import open_index

OPTIONS = {"resamples": 1000, "confidence": 0.95, "seed": 0}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("config")
    arguments.add_argument("overrides", nargs="*")
    arguments.add_argument("--protocol", choices=PROTOCOLS, default="keep_seen")
    told = arguments.parse_args()
    config = load_config(told.config, told.overrides)
    run, settings, had = RunFolder(Path(config.run.folder)), config.retrieval, PROTOCOLS[told.protocol]
    shop = Shop.open(run.stage("prepare"), config.evaluate.targets or config.prepare.targets)
    requests = Requests.read(run.stage("prepare") / "requests.parquet").of("test")
    relevant = Relevant(requests.offsets, requests.items, requests.gains)
    vectors = np.load(run.stage("embed") / "users_test.npy", mmap_mode="r")
    if had:
        relevant = drop_seen(relevant, shop.histories, requests.user, requests.history_end, list(shop.targets))
        answerable = relevant.counts > 0
        requests, relevant, vectors = requests.where(answerable), relevant.of(answerable), vectors[answerable]
    index = open_index(run.stage("index"), towers_of(run))
    sources = open_sources(settings.sources, statistics_folder(run, "test"), config, index=index)
    blends = json.loads((run.stage("retrieve") / BLENDS).read_text())
    says = {name: Say(one["weights"], one["rank_constant"]) for name, one in blends.items()}
    lists = {name: np.full((len(requests), 100), -1, dtype=np.int32) for name in ("blend", *sources)}
    for rows, ask, allowed in blocks(shop, requests, vectors, filter_seen=had, size=settings.block):
        for name, source in sources.items():
            lists[name][rows], _ = source(ask, 100, allowed)
        blended = find_candidates(sources, ask, allowed, settings.per_source, 100, says, told.protocol)
        lists["blend"][rows] = blended.items
    found = {name: find(one, relevant) for name, one in lists.items()}
    print(f"{config.run.name}, {told.protocol}: {len(requests):,} requests")
    for measure, k in ((recall, 100), (ndcg, 10)):
        values = {name: measure(one, k) for name, one in found.items()}
        best = max(sources, key=lambda name: values[name].mean())
        for name, own in values.items():
            mean, more = (
                bootstrap(own, requests.user, **OPTIONS),
                paired(values["blend"], own, requests.user, **OPTIONS),
            )
            told_more = (
                "" if name == "blend" else f"; blend - it {more.value:+.4f} ({more.low:+.4f} to {more.high:+.4f})"
            )
            mark = " (best source)" if name == best else ""
            interval = f"{mean.value:.4f} ({mean.low:.4f} to {mean.high:.4f})"
            print(f"  {measure.__name__}@{k} {name}{mark} {interval}{told_more}")


if __name__ == "__main__":
    main()
