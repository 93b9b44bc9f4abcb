"""What each part of the towers is worth: one part changed at a time, on the same data, seed and test requests.

    python benchmarks/towers/ablations.py configs/amazon_beauty.yaml [key=value ...] [--only NAME,NAME] [--seed 0]

Each variant is trained in a process of its own up to embed and measured as the system ``towers`` on the test window;
the paired difference to the towers as configured comes with its interval over users. Writes ``ablations.json`` and
prints a Markdown table. What no setting switches off is taken out here, in the benchmark, by replacing a function.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from commerce.differences import find_differences
from commerce.metrics import RANKED, Found, Relevant
from pipeline.api import Run

_TAKEN_OVER = ("ingest", "prepare", "adapt")


def _no_correction() -> None:
    import towers.module

    def certain(share: torch.Tensor, *_: Any) -> torch.Tensor:
        return torch.ones(len(share), dtype=torch.float64)

    towers.module.pool_chance = certain  # type: ignore[assignment]


def _without(*names: str) -> Callable[[], None]:
    """Hide some inputs of events from the user tower, in training and in embed alike."""

    def hide() -> None:
        from towers.user import UserTower

        read = UserTower.states

        def states(
            self: UserTower, events: torch.Tensor, queries: torch.Tensor, action: torch.Tensor, gap: torch.Tensor,
            *profile: torch.Tensor,
        ) -> torch.Tensor:  # fmt: skip
            if "action" in names:
                action = action.clamp(max=1)
            if "time" in names:
                gap = torch.zeros_like(gap)
            if "queries" in names:
                queries = torch.zeros_like(queries)
            return read(self, events, queries, action, gap, *profile)

        UserTower.states = states  # type: ignore[method-assign,assignment]

    return hide


VARIANTS: dict[str, tuple[tuple[str, ...], Callable[[], None] | None]] = {
    "as configured": ((), None),
    "text only": (("towers.id_min_events=1000000000",), None),
    "id only": (("data.item_text=[]",), None),
    "random first id residuals": (("towers.id_start=random",), None),
    "no average of the weights": (("towers.average=0",), None),
    "pool of targets alone": (("towers.uniform_negatives=0",), None),
    "pool of uniform draws alone": (("towers.pool_targets=1", "towers.uniform_negatives=2048"), None),
    "512 draws by popularity too": (("towers.popular_negatives=512",), None),
    "pool not corrected": ((), _no_correction),
    "exact softmax": (("towers.negatives=all",), None),
    "a second round with mined negatives": (("towers.rounds=2",), None),
    "the same at the first round's rate": (("towers.rounds=2", "towers.round_rate=1", "towers.round_epochs=12"), None),
    "a second round without any": (("towers.rounds=2", "towers.mined_weight=0"), None),
    "actions unknown": ((), _without("action")),
    "times unknown": ((), _without("time")),
    "times only before each event": (("towers.relative_time=false",), None),
    "queries unknown": ((), _without("queries")),
    "no profile features": (("towers.reads=[behaviour,searches]",), None),
    "text encoder tuned by low-rank adapters": (("towers.tuning=lora",), None),
    "text encoder tuned whole": (("towers.tuning=full",), None),
    "text encoder adapted to the shop's texts": (("text.adapt_steps=300",), None),
}


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("config")
    arguments.add_argument("overrides", nargs="*")
    arguments.add_argument("--only", help=f"names, by comma, of: {'; '.join(VARIANTS)}")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--folder", type=Path, default=Path("runs/ablations"))
    arguments.add_argument("--one", help=argparse.SUPPRESS)
    told = arguments.parse_args()
    if told.one:
        train_one(told)
        return
    names = told.only.split(",") if told.only else list(VARIANTS)
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        arguments.error(f"no variant is called {unknown[0]!r}; there are: {'; '.join(VARIANTS)}")
    for name in dict.fromkeys(["as configured", *names]):
        command = [sys.executable, __file__, told.config, *told.overrides, "--one", name]
        subprocess.run([*command, "--seed", str(told.seed), "--folder", str(told.folder)], check=True)
    say(told, [name for name in names if name != "as configured"])


def train_one(told: argparse.Namespace) -> None:
    """Train a variant in this process and keep where its towers put the relevant items."""
    from quality import towers_found

    changes, patch = VARIANTS[told.one]
    folder = _folder(told.folder, told.one)
    kept = folder / "found.npz"
    if kept.is_file():
        return
    if patch:
        patch()
    whole = _folder(told.folder, "as configured")
    if told.one != "as configured":
        # What is prepared alike is not prepared again; a stage whose key differs runs anew.
        for stage in _TAKEN_OVER:
            if not (folder / stage).is_dir():
                shutil.copytree(whole / stage, folder / stage)
    run = Run(told.config, *told.overrides, *changes, f"run.folder={folder}", f"run.seed={told.seed}")
    run.run(*_TAKEN_OVER, "train-towers", "embed")
    found, users = towers_found(run)
    summary = json.loads((folder / "train-towers" / "summary.json").read_text())
    np.savez(kept, users=users, summary=json.dumps(summary), ranks=found.ranks, **vars(found.relevant))


def say(told: argparse.Namespace, names: list[str]) -> None:
    """Print the table and write it as JSON."""
    base, users, _ = _read(told.folder, "as configured")
    print("| variant | NDCG@10, validation | Recall@10 | NDCG@10 | its difference | processor s |")
    print("|---|---|---|---|---|---|")
    rows = []
    for name in ["as configured", *names]:
        found, _, summary = _read(told.folder, name)
        row = {
            "variant": name,
            "val_ndcg@10": summary["val_ndcg@10"],
            "recall@10": float(RANKED["recall"](found, 10).mean()),
            "ndcg@10": float(RANKED["ndcg"](found, 10).mean()),
            "processor_seconds": summary["processor_seconds"],
        }
        said = ""
        if name != "as configured":
            one = find_differences(
                base, found, users, [("ndcg", 10)], [], resamples=1000, draws=10_000, confidence=0.95, seed=0
            )[0]
            row |= {"difference": one.interval.value, "low": one.interval.low, "high": one.interval.high}
            said = f"{one.interval.value:+.4f} ({one.interval.low:+.4f} to {one.interval.high:+.4f})"
        rows.append(row)
        print(
            f"| {name} | {row['val_ndcg@10']:.4f} | {row['recall@10']:.4f} | {row['ndcg@10']:.4f} | {said} | "
            f"{row['processor_seconds']:.0f} |"
        )
    (told.folder / "ablations.json").write_text(json.dumps({"config": told.config, "rows": rows}, indent=1))


def _read(folder: Path, name: str) -> tuple[Found, np.ndarray, dict[str, Any]]:
    with np.load(_folder(folder, name) / "found.npz", allow_pickle=False) as kept:
        relevant = Relevant(**{key: kept[key] for key in ("offsets", "items", "gains")})
        return Found(kept["ranks"], relevant), kept["users"], json.loads(str(kept["summary"]))


def _folder(folder: Path, name: str) -> Path:
    return folder / name.replace(" ", "-").replace(",", "").replace("'", "")


if __name__ == "__main__":
    main()
