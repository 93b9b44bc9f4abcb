"""The command line in several processes: started by Lightning, and by torchrun as in docs/many-gpus.md."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

SETTINGS = ("towers.tuning=frozen", "towers.negatives=pool", "towers.rounds=2", "towers.accelerator=cpu")
SETTINGS += ("towers.max_epochs=1", "towers.round_epochs=1", "towers.mined_targets=2000")


@pytest.fixture
def prepared(tiny_run, tiny_overrides, tmp_path):
    """Overrides of a run folder in which everything up to ``adapt`` is done."""
    run, _ = tiny_run
    for name in ("ingest", "prepare", "adapt"):
        shutil.copytree(run.folder / name, tmp_path / "run" / name)
    cache = next(word for word in run.overrides if word.startswith("text.cache="))
    others = [word for word in tiny_overrides(tmp_path) if not word.startswith(("text.cache", "towers.max_epochs"))]
    return [*others, cache, *SETTINGS]


def _run(*command):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=200)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout


def _curve(root):
    with (root / "train-towers" / "curves.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_torchrun_trains_in_rounds_and_embeds_in_shares_as_one_process_does(prepared, tmp_path):
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29511")
    root = tmp_path / "run"
    said = _run(*torchrun, "-m", "pipeline.cli", "train-towers", "configs/bazaar.yaml", *prepared, "towers.devices=2")
    assert said.count("train-towers: done") == 1  # by the first rank alone
    assert [row["round"] for row in _curve(root)] == ["1", "2"]
    assert (root / "train-towers" / "round-2-mined.parquet").is_file()

    said = _run(*torchrun, "-m", "pipeline.cli", "embed", "configs/bazaar.yaml", *prepared)
    assert said.count("embed: done") == 1
    shared = {file.name: np.load(file) for file in (root / "embed").glob("*.npy")}
    shutil.rmtree(root / "embed")
    _run(sys.executable, "-m", "pipeline.cli", "embed", "configs/bazaar.yaml", *prepared)
    assert len(shared) == 7
    for name, vectors in shared.items():
        np.testing.assert_allclose(vectors, np.load(root / "embed" / name), atol=1e-5)
        assert np.abs(vectors).sum(axis=1).min() > 0  # no row was left to nobody


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
def test_lightning_starts_the_further_processes_itself(prepared, tmp_path, ranks):
    settings = [*prepared, f"towers.devices={ranks}", "towers.rounds=1"]
    said = _run(sys.executable, "-m", "pipeline.cli", "train-towers", "configs/bazaar.yaml", *settings)
    assert said.count("train-towers: done") == 1
    assert float(_curve(tmp_path / "run")[0]["val_ndcg@10"]) > 0
    assert not (tmp_path / "run" / "scratch" / "train-towers").exists()
    assert not list(Path(tmp_path / "run").glob(".*tmp"))


@pytest.mark.slow
def test_killed_in_its_second_round_a_training_goes_on_there_with_the_same_bits(prepared, tmp_path):
    root = tmp_path / "run"
    shutil.copytree(root, tmp_path / "whole")
    command = (sys.executable, "-m", "pipeline.cli", "train-towers", "configs/bazaar.yaml", *prepared)
    command += ("towers.checkpoint_steps=3",)
    _run(*command, f"run.folder={tmp_path / 'whole'}")

    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rounds, deadline = root / "scratch" / "train-towers", time.monotonic() + 120
    while not (rounds / "round-2" / "last.ckpt").is_file():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (root / "train-towers").exists()
    said = _run(*command)
    assert "negatives mined" not in said  # they were there
    assert _curve(root) == _curve(tmp_path / "whole")
    one, two = (torch.load(folder / "train-towers" / "model.ckpt") for folder in (root, tmp_path / "whole"))
    assert all(torch.equal(one["state_dict"][name], two["state_dict"][name]) for name in two["state_dict"])
