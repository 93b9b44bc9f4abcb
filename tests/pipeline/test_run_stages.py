from pathlib import Path

import pytest

from configs.errors import InputError
from configs.load import load_config
from pipeline.run_folder import RunFolder
from pipeline.run_stages import run_stage, run_stages
from pipeline.stage import Outcome, Stage, Work
from pipeline.stage_key import stage_key


@pytest.fixture
def config(tmp_path):
    (tmp_path / "shop.yaml").write_text("data:\n  reader: bazaar\n")
    return load_config(tmp_path / "shop.yaml", [f"run.folder={tmp_path / 'run'}"])


@pytest.fixture
def counted(monkeypatch):
    """Two stages, a then b, that count their runs; a's result follows from towers.dim, b's from a's file."""
    runs: list[str] = []

    def work_of(work: Work) -> Outcome:
        runs.append(work.name)
        text = f"{work.config.towers.dim > 64}" if work.name == "a" else (work.run.stage("a") / "file").read_text()
        (work.out / "file").write_text(text)
        return Outcome([])

    monkeypatch.setattr(Stage, "function", property(lambda self: work_of))
    return Stage("a", ("towers.dim",), ()), Stage("b", (), ("a",)), runs


def run_both(stages, config, said=None):
    run = RunFolder(Path(config.run.folder))
    run.root.mkdir(exist_ok=True)
    for stage in stages:
        run_stage(stage, config, run, (said if said is not None else []).append)


def test_an_unchanged_stage_is_skipped_and_says_so(config, counted):
    a, b, runs = counted
    said: list[str] = []
    run_both((a, b), config)
    run_both((a, b), config, said)
    assert runs == ["a", "b"]
    assert said == ["a: unchanged, skipped", "b: unchanged, skipped"]


def test_a_finished_stage_tells_its_time_and_memory(config, counted):
    a, _, _ = counted
    said: list[str] = []
    run_both((a,), config, said)
    manifest = RunFolder(Path(config.run.folder)).manifest("a")
    assert 0.01 < manifest["peak_memory_gb"] < 50
    assert f"{manifest['peak_memory_gb']} GB of memory at most so far" in said[0]


def test_a_changed_setting_runs_its_stage_and_what_follows_from_a_changed_output(config, counted):
    a, b, runs = counted
    run_both((a, b), config)
    config.towers.dim = 8
    run_both((a, b), config)
    assert runs == ["a", "b", "a", "b"]


def test_a_stage_whose_inputs_came_out_the_same_is_not_run_again(config, counted):
    a, b, runs = counted
    config.towers.dim = 8
    run_both((a, b), config)
    config.towers.dim = 16  # another key for a, but the same file
    run_both((a, b), config)
    assert runs == ["a", "b", "a"]


def test_a_setting_of_no_concern_changes_nothing(config, counted):
    a, b, runs = counted
    run_both((a, b), config)
    config.ranking.depth = 3
    run_both((a, b), config)
    assert runs == ["a", "b"]


def test_a_published_file_that_was_changed_is_made_again(config, monkeypatch):
    def publish(work: Work) -> Outcome:
        path = work.run.root / "metrics.json"
        path.write_text("{}")
        return Outcome([], [path])

    monkeypatch.setattr(Stage, "function", property(lambda self: publish))
    stage = Stage("evaluate", (), ())
    said: list[str] = []
    run_both((stage,), config)
    (Path(config.run.folder) / "metrics.json").write_text("tampered")
    run_both((stage,), config, said)
    assert "done" in said[0]


def test_a_further_rank_helps_where_several_work_and_seals_nothing(config, counted, monkeypatch):
    a, b, runs = counted
    run_both((a, b), config)
    runs.clear()
    monkeypatch.setenv("LOCAL_RANK", "1")
    run_both((a, b), config)
    assert runs == []  # not its job
    monkeypatch.setattr(Stage, "function", property(lambda self: lambda work: runs.append(work.name) or Outcome([])))
    run = RunFolder(Path(config.run.folder))
    for stage in (Stage("train-towers", (), ("a",)), Stage("embed", (), ("a",))):
        run.scratch(stage.name, stage_key(stage, config, run))  # the first rank has begun
        with pytest.raises(SystemExit):
            run_both((stage,), config)
        assert not (run.root / stage.name).exists()
    assert runs == ["train-towers", "embed"]


def test_a_further_rank_waits_for_the_first_to_begin(config, counted, monkeypatch):
    a, _, _ = counted
    run_both((a,), config)
    monkeypatch.setattr(Stage, "function", property(lambda self: lambda work: Outcome([])))
    run = RunFolder(Path(config.run.folder))
    run.scratch("train-towers", "another key")  # of a training that was cut off, with other settings
    monkeypatch.setenv("LOCAL_RANK", "1")
    waited = []

    def _await(happened, what):
        waited.append(happened())
        run.scratch("train-towers", stage_key(stage, config, run))
        waited.append(happened())

    monkeypatch.setattr("learning.resume.await_true", _await)
    stage = Stage("train-towers", (), ("a",))
    with pytest.raises(SystemExit):
        run_both((stage,), config)
    assert waited == [False, True]


def test_checkpoints_of_another_key_are_removed(config):
    run = RunFolder(Path(config.run.folder))
    (run.scratch("train-towers", "one") / "last.ckpt").touch()
    assert (run.scratch("train-towers", "one") / "last.ckpt").exists()
    assert not (run.scratch("train-towers", "two") / "last.ckpt").exists()


def test_many_stages_in_processes_started_together_are_refused(config, monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="2 processes were started together for 12 stages"):
        run_stages(config)
