"""How good the towers alone are, over several seeds: the system ``towers`` on the test window, full ranking.

    python benchmarks/towers/quality.py configs/amazon_beauty.yaml [key=value ...] [--seeds 0,1,2] [--folder FOLDER]

Runs all stages up to embed for each seed (what is finished is not run again) and ranks every item for
every test request under the config's own terms. With ``--against FOLDER`` of an earlier call, the paired difference to
it, seed by seed, says whether a change helped. That call may be of an earlier commit's stages up to embed (run in a
worktree of it, ``run.folder=FOLDER/seed-0``), as long as its requests are the same.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

from commerce.differences import find_differences
from commerce.histories import Histories
from commerce.metrics import RANKED, Found, find
from commerce.records import Requests
from learning.hardware import machine
from pipeline.api import Run
from pipeline.asked import Chosen, choose
from pipeline.asking import Shop
from pipeline.run_folder import RunFolder
from pipeline.systems import Terms, rank_vectors

_STAGES = ("ingest", "prepare", "adapt", "train-towers", "embed")
_MEASURES = (("recall", 10), ("ndcg", 10), ("recall", 50))


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("config")
    arguments.add_argument("overrides", nargs="*")
    arguments.add_argument("--seeds", default="0,1,2")
    arguments.add_argument("--folder", type=Path, default=Path("runs/towers-quality"))
    arguments.add_argument("--against", type=Path, help="folder of an earlier call, on the same data and seeds")
    told = arguments.parse_args()
    values = []
    for seed in told.seeds.split(","):
        folder = told.folder / f"seed-{seed}"
        run = Run(told.config, *told.overrides, f"run.folder={folder}", f"run.seed={seed}")
        run.run(*_STAGES)
        found, users = towers_found(run)
        row = {f"{name}@{k}": float(RANKED[name](found, k).mean()) for name, k in _MEASURES}
        summary = json.loads((folder / "train-towers" / "summary.json").read_text())
        row |= {name: summary[name] for name in ("val_ndcg@10", "best_epoch", "seconds", "processor_seconds")}
        values.append(row)
        print(f"seed {seed}:", ", ".join(f"{name} {value:.4f}" for name, value in row.items()))
        if told.against:
            other = Run(told.config, *told.overrides, f"run.folder={told.against / f'seed-{seed}'}", f"run.seed={seed}")
            before, before_users = towers_found(other)
            refuse_others(before, before_users, found, users, told.against)
            say_differences(before, found, users, int(seed))
    means = {name: float(np.mean([row[name] for row in values])) for name in values[0]}
    spread = {name: float(np.std([row[name] for row in values], ddof=1)) for name in values[0] if len(values) > 1}
    print("mean:", ", ".join(f"{name} {value:.4f}" for name, value in means.items()))
    result = {
        "config": told.config,
        "overrides": told.overrides,
        "seeds": told.seeds,
        "runs": values,
        "mean": means,
        "deviation": spread,
        "hardware": machine(),
        "versions": {name: version(name) for name in ("mercato", "torch", "lightning", "transformers", "numpy")},
    }
    (told.folder / "quality.json").write_text(json.dumps(result, indent=1))


def towers_found(run: Run) -> tuple[Found, np.ndarray]:
    """Return where the towers put the relevant items of each test request, and the requests' users."""
    terms, chosen, kept = open_test(run)
    embedded = RunFolder(run.folder).stage("embed")
    users = np.load(embedded / "users_test.npy")[kept]
    listed, _ = rank_vectors(terms, np.load(embedded / "item_vectors.npy"), users)
    return find(listed, chosen.relevant), chosen.requests.user


def open_test(run: Run) -> tuple[Terms, Chosen, np.ndarray]:
    """Return the terms of the test window, what is measured, and which of the window's requests that is."""
    config, prepared = run.config, RunFolder(run.folder).stage("prepare")
    targets = config.evaluate.targets or config.prepare.targets
    shop, histories = Shop.open(prepared, targets), Histories.open(prepared / "histories")
    whole = Requests.read(prepared / "requests.parquet").of("test")
    seen_by = tuple(targets) if config.evaluate.filter_seen else ()
    chosen = choose(whole, histories, seen_by, config.evaluate.max_requests, config.run.seed)
    depth = max(k for _, k in _MEASURES)
    terms = Terms(chosen.requests, histories, shop.available_from, shop.available_until, seen_by, depth)
    return terms, chosen, chosen.kept


def refuse_others(before: Found, before_users: np.ndarray, after: Found, users: np.ndarray, folder: Path) -> None:
    """Stop where two calls were not asked the same: users and relevant items must be alike, in their order."""
    alike = np.array_equal(before_users, users) and all(
        np.array_equal(getattr(before.relevant, name), getattr(after.relevant, name))
        for name in ("offsets", "items", "gains")
    )
    if not alike:
        raise SystemExit(
            f"{folder} has other test requests ({len(before_users):,}, here {len(users):,}) or other relevant items; a "
            "paired difference needs the same data and prepare settings on both sides"
        )


def say_differences(before: Found, after: Found, users: np.ndarray, seed: int) -> None:
    for one in find_differences(
        before, after, users, list(_MEASURES), [], resamples=1000, draws=10_000, confidence=0.95, seed=seed
    ):
        found = one.interval
        print(f"  {one.metric} {found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f}), p {one.p_value:.4f}")


if __name__ == "__main__":
    main()
