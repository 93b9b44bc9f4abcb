import subprocess
import sys
import time

from click.testing import CliRunner

from pipeline.cli import commands


def mercato(*words):
    return subprocess.run([sys.executable, "-m", "pipeline.cli", *words], capture_output=True, text=True, check=False)


def test_help_lists_the_stages_in_the_order_of_the_data():
    text = CliRunner().invoke(commands, ["--help"]).output
    places = [
        text.index(f"  {verb} ") for verb in ("run", "ingest", "prepare", "embed", "evaluate", "export", "verify")
    ]
    assert places == sorted(places)


def test_help_answers_within_a_second():
    times = []
    for _ in range(3):
        started = time.perf_counter()
        assert mercato("--help").returncode == 0
        times.append(time.perf_counter() - started)
    assert min(times) < 1.0


def test_an_unknown_verb_names_the_nearest():
    result = mercato("trian-towers", "configs/bazaar.yaml")
    assert result.returncode != 0
    assert "did you mean train-towers" in result.stderr


def test_what_a_person_can_mend_is_one_sentence_without_traceback():
    result = mercato("config", "configs/bazaar.yaml", "towers.dmi=3")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "did you mean towers.dim" in result.stderr


def test_config_prints_every_setting():
    result = mercato("config", "configs/bazaar.yaml", "towers.dim=48")
    assert result.returncode == 0
    assert "dim: 48" in result.stdout
    assert "rank_constant" in result.stdout


def test_stages_need_those_before_them(tmp_path):
    result = mercato("index", "configs/bazaar.yaml", f"run.folder={tmp_path}")
    assert result.returncode == 1
    assert "mercato embed CONFIG" in result.stderr
