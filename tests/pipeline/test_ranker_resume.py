"""A reranker's training that was cut off ends as if nothing had happened, bit for bit."""

import numpy as np
import pytest
import torch

from pipeline import ranker_training as module
from pipeline.front import measure_front
from pipeline.front_grid import Asked
from pipeline.run_folder import RunFolder
from pipeline.stage import Work
from pipeline.train_ranker import train_ranker
from tests.pipeline.test_train_ranker import build_config, build_run, run_stage, seal

SETTINGS = {"tokens_per_batch": 400, "epochs": 2, "train_requests": 60, "checkpoint_steps": 3, "width": 16}
true_end = module._LossCurve.on_train_batch_end


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    run = build_run(tmp_path_factory.mktemp("resume"), lambda affinity, draw: affinity[:, :10].argmax(axis=1))
    seal(run, "adapt", lambda folder: None)
    return run


def beside(run, folder):
    folder.mkdir()
    for name in ("prepare", "adapt", "embed", "retrieve"):
        (folder / name).symlink_to(run.root / name)
    return RunFolder(folder)


def cut_at(patch, step):
    """Let the training die right after a step, before anything of it is kept; None lets it live."""

    def end(self, trainer, *rest):
        true_end(self, trainer, *rest)
        if trainer.global_step == step:
            raise KeyError("cut off")

    patch.setattr(module._LossCurve, "on_train_batch_end", end)


def weights(folder):
    return torch.load(folder / "ranker.ckpt", weights_only=False)["state_dict"]


@pytest.mark.parametrize(
    "changes", [{}, {"attention": "full", "tuning": "lora", "lora_dropout": 0.1, "context_tokens": 40}]
)
def test_cut_off_in_both_epochs_it_ends_with_the_same_bits(planted, tmp_path, monkeypatch, changes):
    config = build_config(planted, **SETTINGS, **changes)
    _, whole = run_stage(beside(planted, tmp_path / "whole"), config, "train-ranker", train_ranker)
    curve = (whole / "curves.csv").read_text()
    steps = len(curve.splitlines()) - 1
    epoch = steps // 2
    assert epoch >= 8
    cut = beside(planted, tmp_path / "cut")
    # In the first epoch, at the very end of it, where its checkpoint is the last one, and in the second.
    for step in (5, epoch + 1, epoch + 6):
        with monkeypatch.context() as patch:
            cut_at(patch, step)
            with pytest.raises(KeyError):
                train_ranker(Work(config, cut, cut.open_temporary("train-ranker"), "train-ranker", "made up"))
        done = torch.load(cut.root / "scratch/train-ranker/last.ckpt", weights_only=False)["global_step"]
        assert 0 < step - done <= 3
    _, folder = run_stage(cut, config, "train-ranker", train_ranker)
    assert (folder / "curves.csv").read_text() == curve
    first, second = weights(whole), weights(folder)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert not (cut.root / "scratch/train-ranker").exists()


def test_one_cut_off_after_its_last_step_is_not_trained_any_further(planted, tmp_path, monkeypatch):
    config = build_config(planted, **SETTINGS)
    _, whole = run_stage(beside(planted, tmp_path / "whole"), config, "train-ranker", train_ranker)
    cut = beside(planted, tmp_path / "cut")
    with monkeypatch.context() as patch:
        patch.setattr(module, "merge_inserted", lambda ranker: 1 / 0)  # the first thing after the training
        with pytest.raises(ZeroDivisionError):
            train_ranker(Work(config, cut, cut.open_temporary("train-ranker"), "train-ranker", "made up"))
    _, folder = run_stage(cut, config, "train-ranker", train_ranker)
    assert (folder / "curves.csv").read_text() == (whole / "curves.csv").read_text()
    assert all(torch.equal(value, weights(folder)[name]) for name, value in weights(whole).items())


def test_a_collapse_is_found_at_the_same_step(planted, tmp_path, monkeypatch):
    monkeypatch.setattr("ranking.collapse.LEAST_SPREAD", 1e6)  # as if all scores were one
    monkeypatch.setattr("ranking.collapse.PATIENCE", 7)
    config = build_config(planted, **SETTINGS)
    whole, _ = run_stage(beside(planted, tmp_path / "whole"), config, "train-ranker", train_ranker)
    cut = beside(planted, tmp_path / "cut")
    with monkeypatch.context() as patch:
        cut_at(patch, 5)
        with pytest.raises(KeyError):
            train_ranker(Work(config, cut, cut.open_temporary("train-ranker"), "train-ranker", "made up"))
    again, _ = run_stage(cut, config, "train-ranker", train_ranker)
    assert again == whole
    assert "stopped at step 7" in whole[0]


def test_a_front_goes_on_inside_a_training(planted, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.front.run_stages", lambda config, names, say: None)
    monkeypatch.setattr("pipeline.front.ROUNDS", 1)
    grid = Asked(attentions=["context_once"], layers=[1, 2], depths=[10])
    scores = {}
    for name in ("whole", "cut"):
        run = beside(planted, tmp_path / name)
        config = build_config(planted, **SETTINGS)
        config.run.folder = str(run.root)
        if name == "cut":
            with monkeypatch.context() as patch:
                cut_at(patch, 5)
                with pytest.raises(KeyError):
                    measure_front(config, grid, lambda line: None)
            assert (run.root / "scratch/front/context_once-1.training/last.ckpt").is_file()
        measure_front(config, grid, lambda line: None)
        assert not list((run.root / "scratch/front").glob("*.training"))
        scores[name] = np.load(run.root / "scratch/front/context_once-1/read.npy")
    assert np.array_equal(scores["whole"], scores["cut"])
