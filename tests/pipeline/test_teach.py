"""A tiny bazaar's reranker teaches its towers: in a run of its own, from moments of the towers' window alone."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pipeline.taught_towers
from commerce.metrics import find, ndcg
from configs.errors import InputError
from pipeline.asked import Evaluated
from pipeline.run_folder import sha256
from pipeline.run_stages import run_stages
from pipeline.teach import teach, teaching_lines
from pipeline.tower_inputs import Prepared
from ranking.gate import Verdict
from towers.lessons import Lessons

_HEADS = ("ingest", "prepare", "adapt", "train-towers", "embed", "index", "retrieve")


def _hashes(root, without=()):
    files = (path for path in root.rglob("*") if path.is_file())
    return {path: sha256(path) for path in files if not {*path.relative_to(root).parts} & {*without}}


@pytest.fixture(scope="module")
def opened(tiny_run, tmp_path_factory):
    """The config of a run that is finished as far as its gate, which is open whatever it would have said, and whose
    towers say that they did worse on ``fit`` than any could."""
    run, _ = tiny_run
    folder = tmp_path_factory.mktemp("teach")
    for name in _HEADS:
        shutil.copytree(run.folder / name, folder / "run" / name)
    summary = folder / "run" / "train-towers" / "summary.json"
    summary.write_text(json.dumps({**json.loads(summary.read_text()), "val_ndcg@10": -1.0}))
    config = replace(run.config, run=replace(run.config.run, folder=str(folder / "run")))
    config = replace(config, evaluate=replace(config.evaluate, baselines=[], source_requests=0))
    patch, shipped = pytest.MonkeyPatch(), Verdict(True, "made up", 0.5, 1, 1, None, None, None)
    patch.setattr("pipeline.train_ranker.judge", lambda gate, weight, **_: shipped)
    run_stages(config, ("train-ranker",), lambda _: None)
    patch.undo()
    return config


@pytest.fixture(scope="module")
def taught(opened):
    """(config, what was found, what was said, the run's files before)."""
    run_stages(opened, ("rank", "evaluate"), lambda _: None)
    before, said = _hashes(Path(opened.run.folder)), []
    return opened, teach(opened, False, said.append), said, before


@pytest.mark.slow
def test_the_runs_own_models_stay_and_the_taught_ones_are_a_run_below(taught):
    config, found, said, before = taught
    home = Path(config.run.folder)
    assert _hashes(home, without=("taught", "teaching.json", "scratch", "logs")) == before
    assert found["kept"]
    manifest = json.loads((home / "taught/train-towers/manifest.json").read_text())
    assert manifest["settings"]["towers"]["teacher"] == str(home)
    vectors = [np.load(root / "embed/item_vectors.npy") for root in (home, home / "taught")]
    assert not np.array_equal(*vectors)
    assert f"taken over from {home}: ingest, prepare, adapt" in said


@pytest.mark.slow
def test_no_lesson_is_about_a_moment_past_the_towers_window(taught):
    home = Path(taught[0].run.folder)
    lessons, prepared = Lessons.read(home / "taught/train-towers/lessons.parquet"), Prepared.open(home / "prepare")
    assert 100 < len(lessons) <= 300
    user = np.searchsorted(prepared.histories.offsets, lessons.position, side="right") - 1
    assert (lessons.position < prepared.cuts[user]).all()
    lists = lessons.items >= 0
    assert lists.sum(axis=1).min() > 1
    assert np.ptp(np.where(lists, lessons.scores, lessons.scores[:, :1]), axis=1).min() > 0  # each list has an order


@pytest.mark.slow
def test_the_gain_is_that_of_the_two_runs_own_measurements(taught):
    config, found, *_ = taught
    home = Path(config.run.folder)
    rows = {(row["system"], row["window"]): row for row in found["gains"]}
    assert set(rows) == {("towers", "gate"), ("towers", "test"), ("mercato", "test")}
    runs = Evaluated.open(home), Evaluated.open(home / "taught")
    for system in ("towers", "mercato"):
        before, after = (ndcg(find(run.lists(system)[0], run.relevant), 10).mean() for run in runs)
        assert rows[system, "test"]["before"]["value"] == pytest.approx(before, abs=1e-6)
        assert rows[system, "test"]["difference"]["value"] == pytest.approx(after - before, abs=1e-6)
    assert json.loads((home / "teaching.json").read_text()) == found
    said = "\n".join(teaching_lines(found))
    assert f"on {rows['towers', 'gate']['requests']:,} gate requests" in said
    assert "gate before: open: made up" in said


@pytest.mark.slow
def test_taught_again_nothing_is_run_again(taught):
    config, found, *_ = taught
    said = []
    assert teach(config, False, said.append) == found
    assert not [line for line in said if ": done in" in line]


@pytest.mark.slow
def test_worse_towers_are_not_kept_and_a_cut_off_leaves_nothing_half_taught(taught, tmp_path, monkeypatch):
    config, *_ = taught
    home = Path(config.run.folder)
    for name in ("ingest", "prepare", "adapt"):
        shutil.copytree(home / name, tmp_path / name)
    towers = replace(config.towers, teacher=str(home), teaching_lists=50)
    pupil = replace(config, run=replace(config.run, folder=str(tmp_path)), towers=towers)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline.taught_towers, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        run_stages(pupil, ("train-towers",), lambda _: None)
    assert not (tmp_path / "train-towers").exists()
    lessons = next((tmp_path / "scratch").rglob("lessons.parquet"))
    written = lessons.stat().st_mtime_ns

    class Worse:
        value, epoch, curve = -2.0, 0, [{"epoch": 0, "step": 1, "train_loss": 1.0, "val_ndcg@10": -2.0}]

    def worse(*_):
        assert lessons.stat().st_mtime_ns == written  # they were there
        return Worse()

    monkeypatch.setattr(pipeline.taught_towers, "train", worse)
    said = []
    run_stages(pupil, ("train-towers",), said.append)
    assert any("not kept: the towers stay as" in line for line in said)
    assert sha256(tmp_path / "train-towers/model.ckpt") == sha256(home / "train-towers/model.ckpt")
    teaching = json.loads((tmp_path / "train-towers/summary.json").read_text())["teaching"]
    assert teaching["kept"] is False
    assert teaching["fit_ndcg@10"] == {"before": -1.0, "after": -2.0}
    lines = teaching_lines(teaching)
    assert lines[0].endswith("the taught towers are worse and not kept, so nothing else was run")


def test_a_closed_gate_teaches_nobody(tiny_run, tmp_path):
    run, _ = tiny_run
    for name in _HEADS:
        shutil.copytree(run.folder / name, tmp_path / name)
    closed = replace(run.config, run=replace(run.config.run, folder=str(tmp_path)))
    closed = replace(closed, ranking=replace(closed.ranking, enabled=False))
    with pytest.raises(InputError, match=r"the gate of its main order is closed \(ranking\.enabled is false\)"):
        teach(closed, False, lambda _: None)
    assert not (tmp_path / "taught").exists()
