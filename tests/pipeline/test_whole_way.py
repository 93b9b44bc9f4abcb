"""The whole way on a tiny bazaar: files, contract, skipping, and what a kill leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from pipeline.stage import NAMES


def test_every_stage_is_sealed_and_the_run_folder_holds_what_is_promised(tiny_run):
    run, _ = tiny_run
    for name in NAMES:
        assert (run.folder / name / "manifest.json").is_file(), name
    assert (run.folder / "metrics.json").is_file()
    assert (run.folder / "bundle" / "manifest.json").is_file()


def test_metrics_keep_their_contract(tiny_run):
    run, _ = tiny_run
    metrics = run.metrics()
    contract = "format dataset split targets window filter_seen repeats requests users items seed hardware systems"
    assert {*contract.split(), "paired", "segments"} <= set(metrics)
    assert {"mercato", "towers", "popularity", "item_knn", "personal_frequency", "bm25"} <= set(metrics["systems"])
    for system in metrics["systems"].values():
        interval = system["ndcg@10"]
        assert interval["low"] <= interval["value"] <= interval["high"]
    assert {"value", "low", "high"} <= set(metrics["paired"]["mercato - popularity"]["ndcg@10"])
    assert metrics["segments"]


def test_an_unchanged_run_is_skipped_stage_by_stage_in_seconds(tiny_run):
    run, _ = tiny_run
    started = time.perf_counter()
    said: list[str] = []
    run.run(say=said.append)
    assert time.perf_counter() - started < 10
    assert said == [f"{name}: unchanged, skipped" for name in NAMES]


def _start(overrides, verb="run"):
    command = [sys.executable, "-m", "pipeline.cli", verb, "configs/bazaar.yaml", *overrides]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _kill_when(process, condition, seconds=240):
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        if condition():
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return
        time.sleep(0.002)
    process.kill()
    pytest.fail(f"the moment to kill at never came: {process.communicate()[1].decode()[-2000:]}")


def test_killed_in_ingest_training_and_export_a_run_ends_with_the_same_metrics(tiny_run, tiny_overrides, tmp_path):
    run, _ = tiny_run
    overrides = tiny_overrides(tmp_path)
    root = tmp_path / "run"
    _kill_when(_start(overrides), lambda: any((root / ".ingest.tmp").glob("*")))
    assert not (root / "ingest").exists()

    scratch = root / "scratch" / "train-towers"
    _kill_when(_start(overrides), lambda: any(scratch.glob("**/*.ckpt")))
    assert (root / "prepare" / "manifest.json").is_file()
    assert not (root / "train-towers").exists()

    _kill_when(_start(overrides), lambda: any((root / ".export.tmp").glob("*")) or any(root.glob(".bundle*")))
    assert not (root / "export" / "manifest.json").exists()

    last = _start(overrides)
    _, errors = last.communicate()
    assert last.returncode == 0, errors.decode()[-2000:]
    killed, unbroken = json.loads((root / "metrics.json").read_text()), run.metrics()
    for volatile in ("hardware", "created", "seconds"):
        killed.pop(volatile, None)
        unbroken.pop(volatile, None)
    assert list(_differences(killed, unbroken)) == []


def _differences(one, two, path=""):
    """Yield (path, value, other value) wherever two nested mappings differ."""
    if isinstance(one, dict) and isinstance(two, dict):
        for key in sorted({*one, *two}):
            yield from _differences(one.get(key), two.get(key), f"{path}/{key}")
    elif one != two:
        yield path, one, two


def test_an_encoder_that_is_not_there_stops_before_costly_work(tiny_overrides, tmp_path):
    overrides = tiny_overrides(tmp_path)
    assert _start(overrides, "ingest").wait() == 0
    process = _start([*overrides, f"text.encoder={tmp_path / 'nowhere'}"], "prepare")
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "nowhere" in errors.decode()
    assert "Traceback" not in errors.decode()
