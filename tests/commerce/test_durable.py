import os
import signal
import subprocess
import sys
import time

import pytest

from commerce import durable
from commerce.durable import replace_folder, write_atomic


def folder(path, text):
    path.mkdir()
    (path / "file").write_text(text)
    return path


@pytest.mark.parametrize("exchanged", [True, False])
def test_a_folder_takes_the_place_of_another(tmp_path, monkeypatch, exchanged):
    if not exchanged:
        monkeypatch.setattr(durable, "_exchange", lambda one, other: False)
    final = folder(tmp_path / "final", "former")
    replace_folder(folder(tmp_path / "new", "new"), final)
    assert (final / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["final"]
    replace_folder(folder(tmp_path / "new", "newer"), final)
    assert (final / "file").read_text() == "newer"


def test_where_nothing_was_the_folder_is_put(tmp_path):
    replace_folder(folder(tmp_path / "new", "new"), tmp_path / "final")
    assert (tmp_path / "final" / "file").read_text() == "new"


def test_a_file_is_replaced_whole(tmp_path):
    write_atomic(tmp_path / "a", "one")
    write_atomic(tmp_path / "a", "two")
    assert (tmp_path / "a").read_text() == "two"
    assert os.listdir(tmp_path) == ["a"]


_REPLACE_FOREVER = """
import itertools, pathlib, sys
from commerce.durable import replace_folder
root = pathlib.Path(sys.argv[1])
for number in itertools.count():
    new = root / "new"
    new.mkdir()
    (new / "file").write_text(str(number))
    replace_folder(new, root / "final")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges folders in one step")
def test_killed_at_any_moment_a_folder_is_there_and_whole(tmp_path):
    for round_ in range(20):
        root = tmp_path / str(round_)
        root.mkdir()
        process = subprocess.Popen([sys.executable, "-c", _REPLACE_FOREVER, str(root)])
        while not (root / "final" / "file").is_file():
            time.sleep(0.001)
        deadline = time.monotonic() + 0.02 + 0.003 * round_
        while time.monotonic() < deadline:
            assert (root / "final" / "file").is_file()  # at no moment is it away
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert (root / "final" / "file").read_text().isdigit()
