"""What the reranker's switches against overfitting and noise are worth: FGM, text noise, dropout, none of them.

    python benchmarks/robustness/switches.py configs/bazaar.yaml [key=value ...] [--strengths .1,.3] [--requests 1000]

Needs a run of CONFIG up to ``retrieve`` (``mercato run`` leaves one). Each switch trains a reranker of its own in
RUN/robustness/NAME, from the same lists and seed, and takes over every stage before. Told, on the same test requests:
NDCG@10 of the shipped order as the texts are and under noise (in queries and products' texts; the mean over kinds and
strengths), each with its paired difference from no switch, and processor seconds of training against no switch's. A
gate that closes ships the blended order, which noise does not reach: such a row is said to be closed, and its NDCG is
not the reranker's. Nothing is chosen here: to choose a switch, compare the gates' own figures on validation.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.intervals import paired
from commerce.noise import KINDS, noised
from configs.errors import InputError
from configs.load import load_config
from configs.schema import Config
from pipeline.limits import limit_process
from pipeline.ranking_inputs import RankingInputs
from pipeline.robustness import Reranked, parse_strengths
from pipeline.run_folder import RunFolder
from pipeline.run_stages import run_stages
from pipeline.stage import NAMES
from pipeline.takeover import take_over

_FOLDER = "robustness"
_STAGES = NAMES[: NAMES.index("train-ranker") + 1]
SWITCHES: Mapping[str, Mapping[str, float]] = {
    "none": {},
    "fgm .3": {"adversarial": 0.3},
    "fgm 1": {"adversarial": 1.0},
    "noise": {"text_noise": 0.5},
    "dropout .1": {"text_dropout": 0.1},
    "dropout .3": {"text_dropout": 0.3},
    "fgm 1 and noise": {"adversarial": 1.0, "text_noise": 0.5},
}
"""Name -> settings of ``ranking``."""
Values = dict[str, NDArray[np.float64]]


def main() -> None:
    """Train, measure and print a table."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("config")
    arguments.add_argument("overrides", nargs="*")
    arguments.add_argument("--strengths", default=".1,.3")
    arguments.add_argument("--requests", type=int, default=1000)
    told = arguments.parse_args()
    config = load_config(told.config, told.overrides)
    limit_process(config.run.threads)
    strengths = parse_strengths(told.strengths)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    print(f"{platform.machine()}, {config.run.threads or 'all'} threads, seed {config.run.seed}; {packages}")
    found = {name: train(config, name, strengths, told.requests) for name in SWITCHES}
    report(found, config)


def train(config: Config, name: str, strengths: list[float], most: int) -> tuple[dict[str, Any], Values | None, Any]:
    """Return a switch's gate, NDCG@10 by request (``clean``, ``noisy``; None where the gate is closed), and users."""
    home = RunFolder(Path(config.run.folder))
    folder = home.root / _FOLDER / name.replace(" ", "-")
    switched = replace(
        config,
        run=replace(config.run, folder=str(folder)),
        ranking=replace(config.ranking, **SWITCHES[name]),
    )
    run = RunFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    take_over(switched, run, home)
    run_stages(switched, _STAGES)
    gate = json.loads((run.stage("train-ranker") / "gate.json").read_text())
    inputs = RankingInputs.open(run, switched)
    try:
        reranked = Reranked.open(run, switched, inputs, most)
    except InputError:
        return gate, None, None
    noisy = [
        reranked.ndcg(inputs.noised(partial(noised, kind=kind, strength=strength, seed=config.run.seed)), kind)
        for kind in KINDS
        for strength in strengths
    ]
    values = {"clean": reranked.ndcg(), "noisy": np.mean(noisy, axis=0)}
    return gate, values, reranked.requests.user


def report(found: Mapping[str, tuple[dict[str, Any], Values | None, Any]], config: Config) -> None:
    """Print a row a switch."""
    print("\n| switch | weight | NDCG@10, clean | from none | under noise | from none | lost by noise | training |")
    print("|---|---|---|---|---|---|---|---|")
    first, first_values, users = found["none"]
    seconds = first["cost"]["training_processor_seconds"] if "cost" in first else None
    for name, (gate, values, _) in found.items():
        cost = gate["cost"]["training_processor_seconds"] / seconds if seconds and "cost" in gate else float("nan")
        if values is None:
            print(f"| {name} | closed: {gate['reason']} | | | | | | {cost:.2f}x |")
            continue
        columns = [f"{gate['weight']:g}"]
        for kind in ("clean", "noisy"):
            columns.append(f"{values[kind].mean():.4f}")
            columns.append(_apart(values[kind], first_values[kind], users, config) if first_values else "")
        columns.append(_apart(values["noisy"], values["clean"], found[name][2], config))
        print(f"| {name} | {' | '.join(columns)} | {cost:.2f}x |")


def _apart(one: NDArray[np.float64], other: NDArray[np.float64], users: NDArray[np.int32], config: Config) -> str:
    if one is other:
        return ""
    evaluate = config.evaluate
    options: dict[str, Any] = {
        "resamples": evaluate.bootstrap,
        "confidence": evaluate.confidence,
        "seed": config.run.seed,
    }
    apart = paired(one, other, users, **options)
    return f"{apart.value:+.4f} [{apart.low:+.4f}, {apart.high:+.4f}]"


if __name__ == "__main__":
    main()
