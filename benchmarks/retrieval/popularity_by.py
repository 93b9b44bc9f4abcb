"""What is it worth to count popularity among users like the one who asks, by each declared category?

    python benchmarks/retrieval/popularity_by.py configs/bazaar.yaml [key=value ...] [--priors 50,500,5000]

Needs a run that has been prepared. For each of ``data.user_categorical`` the prior that is best on the ``fit`` half of
the validation window is measured on the test window, the source alone, beside popularity that is the same for
everybody: all requests, and those of users without a history.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from commerce.associations import count_popularity, count_popularity_by, counted_events
from commerce.intervals import bootstrap, paired
from commerce.metrics import Relevant, find, ndcg, recall
from commerce.records import Requests
from commerce.warehouse import open_warehouse
from configs.load import load_config
from pipeline.asking import Shop, blocks
from pipeline.run_folder import RunFolder
from retrieval.sources import PopularitySource, Segments

OPTIONS = {"resamples": 1000, "confidence": 0.95, "seed": 0}


def found(source, shop, requests, filter_seen):
    lists = np.full((len(requests), 100), -1, dtype=np.int32)
    for rows, ask, allowed in blocks(shop, requests, None, filter_seen=filter_seen, size=256):
        lists[rows], _ = source(ask, 100, allowed)
    return find(lists, Relevant(requests.offsets, requests.items, requests.gains))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("config")
    arguments.add_argument("overrides", nargs="*")
    arguments.add_argument("--priors", default="50,500,5000")
    told = arguments.parse_args()
    config = load_config(told.config, told.overrides)
    prepared = RunFolder(Path(config.run.folder)).stage("prepare")
    targets, days = config.prepare.targets, config.retrieval.popularity_days
    shop = Shop.open(prepared, config.evaluate.targets or targets)
    every = Requests.read(prepared / "requests.parquet")
    learned, names = np.load(prepared / "learned.npz"), config.data.modelled_categories
    counts, by = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        warehouse = open_warehouse(config.run.threads, config.data.memory_gb, Path(scratch))
        for window in ("validation", "test"):
            events = counted_events(warehouse, shop.histories, learned[window], Path(scratch) / f"{window}.parquet")
            counts[window] = count_popularity(events, shop.items, targets, days)
            for column in range(len(names)):
                segment = np.asarray(shop.profiles[:, column])
                by[window, column] = count_popularity_by(events, segment, targets, days)
    fit, test = every.where((every.window == "validation") & (every.half == "fit")), every.of("test")
    alike = found(PopularitySource(counts["test"]), shop, test, config.evaluate.filter_seen)
    groups = {
        "all requests": np.ones(len(test), dtype=bool),
        "without a history": test.history_end == shop.histories.offsets[test.user],
    }
    print(f"{len(test):,} requests of the test window, {groups['without a history'].sum():,} without a history")
    for column, name in enumerate(names):
        tried = {}
        for prior in map(float, told.priors.split(",")):
            source = PopularitySource(counts["validation"], Segments(by["validation", column], column, prior))
            tried[prior] = float(np.mean(ndcg(found(source, shop, fit, config.evaluate.filter_seen), 10)))
        best = max(tried, key=tried.__getitem__)
        print(f"by {name}: NDCG@10 on fit by prior {', '.join(f'{p:g} {v:.4f}' for p, v in tried.items())}")
        source = PopularitySource(counts["test"], Segments(by["test", column], column, best))
        mine = found(source, shop, test, config.evaluate.filter_seen)
        for label, rows in groups.items():
            if rows.sum() < 2:
                continue
            for measure, k in ((ndcg, 10), (recall, 100)):
                own, same, user = measure(mine, k)[rows], measure(alike, k)[rows], test.user[rows]
                mean, more = bootstrap(own, user, **OPTIONS), paired(own, same, user, **OPTIONS)
                told_more = f"{more.value:+.4f} ({more.low:+.4f} to {more.high:+.4f})"
                print(
                    f"  {label}, prior {best:g}: {measure.__name__}@{k} {mean.value:.4f} ({mean.low:.4f} to "
                    f"{mean.high:.4f}); - the same for everybody {told_more}"
                )


if __name__ == "__main__":
    main()
