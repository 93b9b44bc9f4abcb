"""Every command of the README is run: by these tests on a tiny bazaar, or as ``make demo`` and ``make test``."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "README.zh-CN.md")
ELSEWHERE = ("pip install", "torchrun", "openssl")
"""Run by ``make setup``, by the tests of several processes, or not ours."""
NEED_AN_OPEN_GATE = ("teach", "robustness")
"""A bazaar of seconds has none: their own tests run them, here it is seen that their config resolves."""


def blocks(language):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands():
    lines = [line.split("  #")[0].strip() for block in blocks("bash") for line in block.splitlines()]
    return [line for line in lines if line]


def test_make_targets_exist():
    targets = (ROOT / "Makefile").read_text()
    named = {line.split()[1] for line in commands() if line.startswith("make ")}
    assert {"demo", "test"} <= named
    assert all(re.search(rf"^{target}:", targets, flags=re.MULTILINE) for target in named)


def test_no_command_is_left_out():
    known = ("make ", "mercato ", *ELSEWHERE)
    assert [line for line in commands() if not line.startswith(known)] == []


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("mercato ")])
def test_the_command_works(line, tiny_run, tmp_path):
    run, _ = tiny_run
    words = shlex.split(line)[1:]
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "bazaar").symlink_to(run.folder, target_is_directory=True)
    if words[0] in NEED_AN_OPEN_GATE or words[1] == "configs/your_shop.yaml" or "gpu" in line:
        words = ["config", *words[1:]]  # needs files of a shop, or a device: that it resolves is what can be seen here
    elif words[1].endswith(".yaml"):
        words += [f"run.folder={run.folder}", *(word for word in run.overrides if not word.startswith("run.folder"))]
        words = [words[0], words[1], *words[2:]]
    result = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout


def test_the_python_example_runs(tiny_run, capsys):
    run, _ = tiny_run
    (code,) = blocks("python")
    tiny = ", ".join(repr(word) for word in run.overrides)
    exec(code.replace('"towers.max_epochs=3"', tiny), {})
    assert capsys.readouterr().out.count("\n") > 5


@pytest.mark.parametrize("name", READMES)
def test_links_inside_lead_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    assert [target for target in targets if not (ROOT / target).exists()] == []
