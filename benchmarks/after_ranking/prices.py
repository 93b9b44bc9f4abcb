"""What each rule of section ``after`` costs, and each order by value, on the test window of a finished run.

    python benchmarks/after_ranking/prices.py configs/bazaar.yaml

Every rule is put alone on the lists that ``rank`` wrote without any; a price is the paired difference in NDCG@10 over
users. Pins, boosts and hidden items are drawn at random (seed printed): what a shop pins costs what it costs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from commerce.metrics import Relevant
from commerce.records import Requests, read_ranked
from configs.load import load_config
from learning.hardware import machine
from pipeline.asked import whole_users
from pipeline.asking import Shop
from pipeline.rule_prices import rule_prices
from pipeline.run_folder import RunFolder
from pipeline.shop_rules import arrange_lists, read_rules
from ranking.after import Rules


def grid(items: list[str], groups: list[str], draw: np.random.Generator) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what is tried: a name, and settings of ``after``."""
    for share in (0.1, 0.3, 0.5):
        yield f"diversity {share:g}", {"diversity": share}
    for most in (5, 3, 2, 1):
        yield f"at most {most} of a category", {"per_category": most}
    drawn = [str(item) for item in draw.permutation(items)[:20]]
    yield "one item pinned to place 1", {"pinned": {drawn[0]: 1}}
    yield "one item pinned to place 10", {"pinned": {drawn[0]: 10}}
    yield "20 items boosted by 1 spread", {"boosted": dict.fromkeys(drawn, 1.0)}
    yield "20 items suppressed", {"suppressed": drawn}
    for share in (0.2, 0.3, 0.4):
        yield f"floor {share:g} for {groups[0]}", {"floors": {groups[0]: share}}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--requests", type=int, default=2000, help="at most; users are chosen by hash")
    parser.add_argument("--group", default="independent", help="whose floor is tried")
    given = parser.parse_args(arguments)
    config = load_config(given.config, given.overrides)
    run = RunFolder(Path(config.run.folder))
    targets = config.evaluate.targets or config.prepare.targets
    shop = Shop.open(run.stage("prepare"), targets)
    requests = Requests.read(run.stage("prepare") / "requests.parquet").of("test")
    requests = requests.where(whole_users(requests, given.requests, config.run.seed))
    relevant = Relevant(requests.offsets, requests.items, requests.gains)
    before = read_ranked(run.stage("rank") / "test.parquet", requests.request_id)
    vectors = np.load(run.stage("embed") / "item_vectors.npy")
    ids = shop_ids(run)
    users = len(np.unique(requests.user))
    print(f"{config.run.folder}: {len(requests):,} requests of {users:,} users, seed {config.run.seed}")
    print(f"mercato {version('mercato')}; {machine()}")
    print("| rule | NDCG@10, difference | variety | parity |\n|---|---|---|---|")
    for name, asked in grid(ids, [given.group], np.random.default_rng(config.run.seed)):
        for setting in ("diversity", "per_category", "pinned", "boosted", "suppressed", "floors"):
            empty = type(getattr(config.after, setting))()
            setattr(config.after, setting, asked.get(setting, empty))
        rules = read_rules(run, config)

        def arranged(some: Rules) -> Any:
            return arrange_lists(before, some, requests, shop, vectors, None, filter_seen=False).items

        told = rule_prices(
            rules,
            arranged,
            before[0],
            None,
            relevant,
            requests.user,
            resamples=config.evaluate.bootstrap,
            confidence=config.evaluate.confidence,
            seed=config.run.seed,
        )
        assert told is not None
        price, plain = told["prices"]["all"], told["prices"]["all"]["made_of"]
        print(
            f"| {name} | {price['value']:+.4f} ({price['low']:+.4f} to {price['high']:+.4f}) | "
            f"{told['made_of']['variety']:.3f} ({plain['variety']:.3f}) | "
            f"{told['made_of']['parity']:.3f} ({plain['parity']:.3f}) |",
            flush=True,
        )


def shop_ids(run: RunFolder) -> list[str]:
    """Return the shop's item ids by code."""
    import pyarrow.parquet as pq

    ids: list[str] = pq.read_table(run.stage("ingest") / "items.parquet")["item_id"].to_pylist()
    return ids


if __name__ == "__main__":
    main()
