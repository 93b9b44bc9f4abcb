"""Trainings killed with SIGKILL and taken up again end as if nothing had happened, bit for bit."""

import signal

import numpy as np
import pytest
import torch

from tests.processes import exit_code, run_ranks
from tests.towers.training import read_losses, train_task, with_mined, write_task

EPOCHS, STEPS = 6, 30


@pytest.fixture
def task(small, tmp_path):
    """Return a function: settings -> the file of a training with dropout, a checkpoint every third step."""

    def _task(**changes):
        module, data, settings = small(max_epochs=EPOCHS, patience=EPOCHS, checkpoint_steps=3, **changes)
        with_mined(data)
        write_task(tmp_path / "task", module, data, settings)
        return tmp_path / "task"

    return _task


@pytest.mark.parametrize(
    "changes", [{"popular_negatives": 3, "chunk_users": 4, "id_updates": "rows"}, {"tuning": "full", "tuned_texts": 8}]
)
def test_killed_several_times_inside_epochs_a_training_ends_with_the_same_bits(task, tmp_path, changes):
    file = task(**changes)
    assert exit_code(_train, file, tmp_path, "whole", 0) == 0
    steps = np.sort(np.random.default_rng(8).choice(np.arange(2, STEPS), 4, replace=False))
    assert any(step % 5 for step in steps)
    for step in steps.tolist():
        assert exit_code(_train, file, tmp_path, "cut", step) == -signal.SIGKILL
    assert exit_code(_train, file, tmp_path, "cut", 0) == 0
    whole, cut = (read_losses(tmp_path / f"{name}.losses") for name in ("whole", "cut"))
    assert list(whole) == list(range(1, STEPS + 1))
    assert cut == whole
    told = (tmp_path / "cut.losses").read_text().splitlines()
    assert len(told) > len(set(told)) == STEPS  # some steps were done twice, and came out alike
    (one_curve, one), (two_curve, two) = (torch.load(tmp_path / f"{name}.end") for name in ("whole", "cut"))
    assert one_curve == two_curve
    assert all(torch.equal(one[name], two[name]) for name in one)


def _train(file, folder, name, killed_at):
    (folder / name).mkdir(exist_ok=True)
    ended = train_task(file, folder / name, folder / f"{name}.losses", killed_at)
    torch.save(ended, folder / f"{name}.end")


def test_a_finished_training_is_not_taken_up_again(task, tmp_path):
    file = task()
    assert exit_code(_train, file, tmp_path, "whole", 0) == 0
    first = torch.load(tmp_path / "whole.end")
    assert exit_code(_train, file, tmp_path, "whole", 1) == 0  # no step is done in which it could be killed
    again = torch.load(tmp_path / "whole.end")
    assert again[0] == first[0]
    assert all(torch.equal(first[1][name], again[1][name]) for name in again[1])


def test_a_training_goes_on_with_the_same_batches_on_another_number_of_ranks(task, tmp_path):
    file = task(dropout=0.0, id_drop=0.0)
    assert exit_code(_train, file, tmp_path, "whole", 0) == 0
    assert exit_code(_train, file, tmp_path, "cut", 13) == -signal.SIGKILL
    run_ranks(_go_on, 2, tmp_path)
    whole, cut = (read_losses(tmp_path / f"{name}.losses") for name in ("whole", "cut"))
    assert list(cut) == list(whole) == list(range(1, STEPS + 1))
    assert list(cut.values()) == pytest.approx(list(whole.values()), rel=1e-4)


def _go_on(rank, ranks, folder):
    return train_task(folder / "task", folder / "cut", folder / "cut.losses", devices=ranks)
