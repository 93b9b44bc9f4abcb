import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from commerce.durable import write_atomic
from configs.errors import InputError
from pipeline.run_folder import RunFolder


def test_a_committed_folder_lists_its_outputs_with_hashes(tmp_path):
    run = RunFolder(tmp_path)
    folder = run.open_temporary("index")
    (folder / "numbers").write_bytes(b"123")
    run.commit("index", folder, {"key": "k"})
    manifest = run.manifest("index")
    assert manifest is not None
    assert manifest["outputs"]["numbers"]["bytes"] == 3
    assert run.stage("index") == tmp_path / "index"


def test_a_later_commit_replaces_the_former_whole(tmp_path):
    run = RunFolder(tmp_path)
    for name in ("old", "new"):
        folder = run.open_temporary("index")
        (folder / name).write_text(name)
        run.commit("index", folder, {"key": name})
    assert {path.name for path in (tmp_path / "index").iterdir()} == {"new", "manifest.json"}


def test_a_stage_that_never_finished_is_named(tmp_path):
    RunFolder(tmp_path).open_temporary("embed")
    with pytest.raises(InputError, match="mercato embed CONFIG"):
        RunFolder(tmp_path).stage("embed")


def test_a_stage_without_a_verb_of_its_own_is_named_by_the_verb_that_runs_it(tmp_path):
    with pytest.raises(InputError, match=r"cross-0 is not there; run `mercato relevance CONFIG` first"):
        RunFolder(tmp_path, "relevance").stage("cross-0")


def test_scratch_of_other_settings_is_thrown_away(tmp_path):
    run = RunFolder(tmp_path)
    (run.scratch("train-towers", "a") / "last.ckpt").write_text("half way")
    assert (run.scratch("train-towers", "a") / "last.ckpt").exists()
    assert not (run.scratch("train-towers", "b") / "last.ckpt").exists()


_WRITER = """
import sys
from pathlib import Path
from pipeline.run_folder import RunFolder
run = RunFolder(Path(sys.argv[1]))
for round in range(100000):
    folder = run.open_temporary("index")
    for part in range(3):
        (folder / f"part{part}").write_text(f"{round}")
    run.commit("index", folder, {"key": str(round)})
    print(round, flush=True)
"""


def test_killed_at_any_moment_a_stage_is_whole_or_absent(tmp_path):
    for wait in range(8):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(wait + 1):
            writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        manifest = RunFolder(tmp_path).manifest("index")
        if manifest is not None:
            parts = [(tmp_path / "index" / f"part{part}").read_text() for part in range(3)]
            assert parts == [manifest["key"]] * 3


def test_a_small_file_is_replaced_atomically(tmp_path):
    path = Path(tmp_path / "metrics.json")
    write_atomic(path, json.dumps({"a": 1}))
    write_atomic(path, json.dumps({"a": 2}))
    assert json.loads(path.read_text()) == {"a": 2}
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]
