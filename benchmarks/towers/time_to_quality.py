"""Seconds of training until NDCG@10 on the test window reaches a value: the towers beside RecTools' SASRec.

    python benchmarks/towers/time_to_quality.py configs/amazon_beauty.yaml [key=value ...] --peer .venv-peers/bin/python

Both train on everything but each user's last two events and are asked for the last one, full ranking over the
catalogue, items already had filtered, by the same requests; looking at the test window after each epoch is not counted.
One after the other in processes of their own, each with the same number of threads. The peer has the settings that
RecTools publishes as its defaults (two blocks, four heads, 256 wide, sessions of 100, batches of 128, dropout .2, full
softmax), or with ``--negatives 256`` its sampled softmax.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np

_PEER = Path(__file__).with_name("sasrec_rectools.py")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("config")
    arguments.add_argument("overrides", nargs="*")
    arguments.add_argument("--peer", help="Python of the peer's environment; none: the towers alone")
    arguments.add_argument("--value", type=float, default=0.045)
    arguments.add_argument("--cap-minutes", type=float, default=60.0)
    arguments.add_argument("--negatives", type=int, default=0, help="of the peer; 0: full softmax")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--folder", type=Path, default=Path("runs/time-to-quality"))
    told = arguments.parse_args()
    ours = towers(told)
    print(f"towers: {_say(ours, told.value)}")
    if told.peer:
        from configs.load import load_config

        source = load_config(told.config, told.overrides).data.folder
        command = [told.peer, str(_PEER), source, str(told.value), str(told.cap_minutes), str(told.negatives)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(told.threads)}
        printed = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        theirs = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
        print(f"RecTools SASRec: {_say(theirs, told.value)}")
        reached = theirs[-1]["ndcg"] >= told.value
        ratio = theirs[-1]["seconds"] / ours[-1]["seconds"]
        print(f"RecTools takes {'' if reached else 'more than '}{ratio:.1f} times as long")


def towers(told: argparse.Namespace) -> list[dict[str, float]]:
    """Train the towers; return seconds of training and NDCG@10 after each epoch, until the value is reached."""
    from pipeline.api import Run
    from pipeline.encoders import prepared_encoder
    from pipeline.run_folder import RunFolder
    from pipeline.stage import Work
    from pipeline.tower_inputs import Prepared
    from pipeline.train_towers import open_training
    from towers.train import train

    overrides = (*told.overrides, f"run.folder={told.folder}", f"run.threads={told.threads}")
    run = Run(told.config, *overrides)
    run.run("ingest", "prepare", "adapt", say=lambda line: print(line, file=sys.stderr))
    root = RunFolder(run.folder)
    with tempfile.TemporaryDirectory() as scratch:
        work = Work(run.config, root, Path(scratch), "train-towers", "")
        prepared = Prepared.open(root.stage("prepare"))
        started = time.perf_counter()
        module, data = open_training(work, prepared, prepared_encoder(root, run.config.text))
        watch = Watch(run, told.value, started)
        train(module, data, run.config.towers, run.config.run.seed, Path(scratch), callbacks=[watch])
    return watch.rows


class Watch(L.Callback):
    """Ranks the test window after each epoch, off the clock, and stops the training once it is good enough."""

    def __init__(self, run: Any, value: float, started: float) -> None:
        self.run, self.value, self.started, self.away = run, value, started, 0.0
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        from quality import open_test

        from commerce.metrics import RANKED, find
        from towers.embed import embed_items, embed_users
        from towers.validation import AskedBatches

        left = time.perf_counter()
        terms, chosen, _ = open_test(self.run)
        items = embed_items(module)
        batches = AskedBatches(chosen.requests, terms.histories, self.run.config.towers.history_length)
        users, *_ = embed_users(module, items, batches)
        module.train()
        from pipeline.systems import rank_vectors

        ndcg = float(np.mean(RANKED["ndcg"](find(rank_vectors(terms, items, users)[0], chosen.relevant), 10)))
        self.rows.append({"seconds": left - self.started - self.away, "ndcg": ndcg})
        self.away += time.perf_counter() - left
        trainer.should_stop = trainer.should_stop or ndcg >= self.value


def _say(rows: list[dict[str, float]], value: float) -> str:
    last = rows[-1]
    steps = ", ".join(f"{row['ndcg']:.4f} after {row['seconds']:.0f} s" for row in rows)
    reached = "reached" if last["ndcg"] >= value else "did not reach"
    return f"{reached} {value} in {last['seconds']:.0f} s of training ({steps})"


if __name__ == "__main__":
    main()
