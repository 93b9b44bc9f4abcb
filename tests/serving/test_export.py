import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from commerce.records import read_table
from configs.schema import ExportConfig
from pipeline.export import export
from pipeline.run_folder import RunFolder
from pipeline.stage import Work
from pipeline.user_hashes import user_key
from serving.requests import Event
from serving.runtime import Runtime
from serving.user_keys import KEY_FILE
from serving.verify import verify

KILLED = """
import os, shutil, signal, sys, traceback
from pathlib import Path

import pipeline.export, pipeline.model_files, pipeline.run_folder, serving.strings
from transformers import AutoConfig, AutoModel  # before the forks, which would each take seconds for it
from pipeline.api import Run
from pipeline.run_folder import RunFolder
from pipeline.stage import Work
from serving.manifest import check_files, read_manifest

run = Run(*sys.argv[1:])
root = RunFolder(run.folder)
graphs = run.folder.parent / "graphs"
graphs.mkdir(exist_ok=True)
for name in ("text_encoder", "user_tower", "reranker"):
    if not (graphs / f"{name}.onnx").exists():
        shutil.copyfile(run.folder / "bundle" / f"{name}.onnx", graphs / f"{name}.onnx")
# Graphs and golden answers are not what is tested here, and making them takes seconds.
pipeline.model_files.export_graph = lambda module, path, **_: shutil.copyfile(graphs / path.name, path)
golden = read_manifest(run.folder / "bundle")["golden"]
pipeline.export.record = lambda *_: golden


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def after(function, calls):
    count = 0
    def called(*arguments, **options):
        nonlocal count
        count += 1
        if count == calls:
            die()
        return function(*arguments, **options)
    return called


MOMENTS = {
    "a file is written": lambda: setattr(serving.strings.Strings, "save", after(serving.strings.Strings.save, 2)),
    "the bundle is sealed without answers": lambda: setattr(pipeline.export, "record", die),
    "the former bundle steps aside": lambda: setattr(os, "replace", after(os.replace, 1)),
    "the new bundle steps in": lambda: setattr(os, "replace", after(os.replace, 2)),
}


def attempt(moment):
    child = os.fork()
    if not child:
        try:
            MOMENTS.get(moment, lambda: None)()
            pipeline.export.export(Work(run.config, root, root.open_temporary("export"), "export", "k"))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


for moment in [*MOMENTS, "none of them"]:
    ended = attempt(moment)
    folder = run.folder / "bundle"
    whole = "absent"
    if folder.exists():
        check_files(folder, read_manifest(folder))
        whole = "whole"
    print(f"{moment}: {ended}, {whole}", flush=True)
"""


@pytest.fixture
def shop(exported, tmp_path):
    """A copy of the exported run's folder."""
    shutil.copytree(exported[0].folder, tmp_path / "run")
    return tmp_path / "run"


def test_a_kill_at_any_moment_leaves_a_whole_bundle(exported, shop, shop_config):
    script = [sys.executable, "-c", KILLED, *shop_config, f"run.folder={shop}"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=300)
    lines = dict(line.split(": ") for line in done.stdout.splitlines() if ": " in line)
    states = {moment: state.split(", ") for moment, state in lines.items()}
    assert len(states) == 5, done.stderr
    assert states.pop("none of them") == ["0", "whole"], done.stderr
    assert {ended for ended, _ in states.values()} == {str(int(signal.SIGKILL))}
    assert [whole for _, whole in states.values()] == ["whole"] * 4
    assert verify(shop / "bundle").golden.requests == 60
    assert not [path.name for path in shop.iterdir() if path.name in (".bundle.tmp", ".plain.tmp", ".bundle.old")]


def test_the_stage_says_what_it_made_and_publishes_every_file(exported):
    run, outcome = exported
    assert outcome.lines[0].startswith(f"{run.folder / 'bundle'}: bundle ")
    assert "60 golden requests (the reranker in 12 of them)" in outcome.lines[1]
    assert run.folder / "bundle" / "manifest.sha256" in outcome.published
    assert run.folder / "plain" / "vectors.npy" in outcome.published


def test_the_bundle_carries_the_graph_of_the_run(exported):
    run, _ = exported
    rows = read_table("graph", run.folder / "bundle" / "graph.parquet").to_pylist()
    assert rows == read_table("graph", run.folder / "retrieve" / "graph.parquet").to_pylist()
    assert {"complement", "substitute", "variant"} <= {row["kind"] for row in rows}
    assert {row["source"] for row in rows} == {"log", "text", "declared"}


def test_the_plain_export_is_read_with_fifteen_lines(exported):
    run, _ = exported
    plain = run.folder / "plain"
    assert len([line for line in (plain / "read.py").read_text().splitlines() if line.strip()]) <= 15
    done = subprocess.run(
        [sys.executable, str(plain / "read.py"), "i000003", "4"], capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 4
    assert ["1.0000", "i000003"] in lines


def test_a_key_is_made_once_where_the_environment_has_none(tmp_path, monkeypatch):
    monkeypatch.delenv("MERCATO_HASH_KEY")
    key, said = user_key("MERCATO_HASH_KEY", tmp_path)
    assert str(tmp_path / KEY_FILE) in said[0]
    assert os.stat(tmp_path / KEY_FILE).st_mode & 0o777 == 0o600
    again, said = user_key("MERCATO_HASH_KEY", tmp_path)
    assert (again, said) == (key, [])
    assert len(key) == 64


def test_a_bundle_may_leave_users_out(exported, shop, monkeypatch):
    made = exported[0].folder / "bundle"
    monkeypatch.setattr(
        "pipeline.model_files.export_graph", lambda module, path, **_: shutil.copyfile(made / path.name, path)
    )
    config = replace(exported[0].config, export=ExportConfig(include_histories=False))
    root = RunFolder(shop)
    export(Work(config, root, root.open_temporary("export"), "export", "k"))
    assert not (shop / "bundle" / "users").exists()
    runtime = Runtime(shop / "bundle")
    answer = runtime.recommend("u000001", k=3)
    assert answer.notes == ("the bundle holds no users: answered as for somebody new",)
    assert runtime.recommend("u000001", events=[Event("view", 1, runtime.item_id(0))], k=3).user_known


KILLED_AT_RANDOM = """
import json, os, random, signal, sys, time
from dataclasses import replace

exec(sys.argv[1].split("MOMENTS")[0])  # the imports, and exports without making graphs
from serving.manifest import bundle_id
import numpy as np


def start(name):
    child = os.fork()
    if not child:
        try:
            config = replace(run.config, run=replace(run.config.run, name=name))
            pipeline.export.export(Work(config, root, root.open_temporary("export"), "export", "k"))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return child


bundle, plain = run.folder / "bundle", run.folder / "plain"
began = time.monotonic()
assert os.waitpid(start("first"), 0)[1] == 0
taken = time.monotonic() - began
random.seed(0)
former = "first"
for number in range(ROUNDS):
    child = start(f"export {number}")
    time.sleep(random.uniform(0, 1.1) * taken)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    manifest = read_manifest(bundle)
    check_files(bundle, manifest)
    assert manifest["name"] in (former, f"export {number}"), (manifest["name"], former, number)
    assert len(manifest["golden"]) == 60
    assert len(np.load(plain / "vectors.npy")) == 90
    print("new" if manifest["name"] != former else "former", flush=True)
    former = manifest["name"]
"""


@pytest.mark.slow
def test_killed_fifty_times_while_exporting_the_bundle_is_the_former_or_the_new_one(exported, shop, shop_config):
    code = KILLED_AT_RANDOM.replace("ROUNDS", "50").replace("sys.argv[1]", "KILLED")
    script = f"KILLED = {KILLED!r}\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", script, *shop_config, f"run.folder={shop}"], capture_output=True, text=True
    )
    states = done.stdout.split()
    assert len(states) == 50, done.stderr
    assert {*states} == {"former", "new"}
    assert verify(shop / "bundle").golden.requests == 60
    # What a kill leaves beside them, the next export takes away; the last is the stage's own.
    left = {".bundle.tmp", ".plain.tmp", ".bundle.old", ".plain.old", ".export.tmp"}
    assert {path.name for path in shop.glob(".*")} <= left
