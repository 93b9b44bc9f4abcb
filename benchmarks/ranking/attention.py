"""What reading the context once costs in NDCG@10 beside letting every token see every other, over several shops.

    python benchmarks/ranking/attention.py configs/bazaar.yaml bazaar.intent_tastes=2 ranking.depth=100 \
      ranking.max_minutes=300 run.folder=runs/attention [key=value ...] [--seeds 0,1,2]

For each seed a bazaar of its own (``bazaar.seed`` plus the seed) and a run of all stages up to ``rank``, once with each
attention, from one retrieval and on the same lists. Differences on the test window are paired; over several shops they
are of all shops' requests together, users drawn anew. Where the gate stays shut the blended order is what is measured,
so why it opened or not is printed with each. Writes RUN/attention.json.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.durable import write_atomic
from commerce.intervals import bootstrap, paired
from commerce.metrics import Relevant, find, ndcg
from commerce.records import Requests, read_ranked
from learning.hardware import machine
from pipeline.api import Run
from pipeline.run_folder import RunFolder
from pipeline.stage import NAMES
from pipeline.takeover import take_over

_STAGES = NAMES[: NAMES.index("rank") + 1]
_CUT = 10
_PRECISION: dict[str, Any] = {"resamples": 1000, "confidence": 0.95, "seed": 0}
ONCE, FULL = "context_once", "full"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--seeds", default="0,1,2")
    told = parser.parse_args()
    base = Run(told.config, *told.overrides)
    rows, users, values = [], [], []
    for seed in map(int, told.seeds.split(",")):
        runs = _trained(base, told.config, told.overrides, seed)
        asked = Requests.read(RunFolder(runs[ONCE].folder).stage("prepare") / "requests.parquet").of("test")
        values.append(np.stack([_ndcg(runs[attention], asked) for attention in (FULL, ONCE)]))
        users.append(asked.user)
        gates = {attention: _gate(run) for attention, run in runs.items()}
        for attention, reason in gates.items():
            print(f"seed {seed}, {attention}: {reason}")
        rows.append({"seed": seed, "gate": gates} | _row(values[-1], users[-1]))
    # A user of one shop is nobody in another.
    starts = np.cumsum([0, *(one.max() + 1 for one in users[:-1])])
    everybody = np.concatenate([one + start for one, start in zip(users, starts, strict=True)])
    rows.append({"seed": "all"} | _row(np.concatenate(values, axis=1), everybody))
    result = {
        "config": told.config,
        "overrides": told.overrides,
        "ndcg@10": rows,
        "hardware": machine(),
        "versions": {name: version(name) for name in ("mercato", "torch", "transformers", "numpy")},
    }
    write_atomic(base.folder / "attention.json", json.dumps(result, indent=1))
    _say(rows)


def _trained(base: Run, config: str, overrides: list[str], seed: int) -> dict[str, Run]:
    """Return the run of each attention on a seed's shop, finished up to ``rank``."""
    runs: dict[str, Run] = {}
    for attention in (ONCE, FULL):
        folder = base.folder / f"seed-{seed}" / attention
        folder.mkdir(parents=True, exist_ok=True)
        shop = f"bazaar.seed={base.config.bazaar.seed + seed}"
        run = Run(
            config, *overrides, shop, f"run.seed={seed}", f"ranking.attention={attention}", f"run.folder={folder}"
        )
        if runs:
            take_over(run.config, RunFolder(folder), RunFolder(runs[ONCE].folder))
        run.run(*_STAGES)
        runs[attention] = run
    return runs


def _gate(run: Run) -> str:
    reason: str = json.loads((run.folder / "train-ranker" / "gate.json").read_text())["reason"]
    return reason


def _ndcg(run: Run, asked: Requests) -> NDArray[np.float64]:
    listed = read_ranked(run.folder / "rank" / "test.parquet", asked.request_id)[0]
    return ndcg(find(listed, Relevant(asked.offsets, asked.items, asked.gains)), _CUT)


def _row(values: NDArray[np.float64], users: NDArray[np.integer]) -> dict[str, Any]:
    """Return what is told of the requests of one shop or all; ``values`` ``[2, requests]``, full first."""
    full, once = values
    return {
        "requests": len(users),
        "users": len(np.unique(users)),
        FULL: bootstrap(full, users, **_PRECISION).as_dict(),
        ONCE: bootstrap(once, users, **_PRECISION).as_dict(),
        f"{ONCE} - {FULL}": paired(once, full, users, **_PRECISION).as_dict(),
    }


def _say(rows: list[dict[str, Any]]) -> None:
    print(f"| seed | requests | users | {FULL} | {ONCE} | {ONCE} - {FULL} |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        full, once, apart = row[FULL], row[ONCE], row[f"{ONCE} - {FULL}"]
        said = f"{apart['value']:+.4f} ({apart['low']:+.4f} to {apart['high']:+.4f})"
        print(
            f"| {row['seed']} | {row['requests']:,} | {row['users']:,} | {full['value']:.4f} | {once['value']:.4f} "
            f"| {said} |"
        )


if __name__ == "__main__":
    main()
