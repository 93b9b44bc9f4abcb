import lightning as L
import pytest
import torch

from learning.finite import LossError
from towers.module import TwoTower
from towers.train import save_model, train, write_curve


class _Stop(L.Callback):
    """Stands for a kill: nothing after it is written."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            raise KeyError("killed")

    def on_validation_end(self, trainer, *_):
        if trainer.global_step == -self.step:
            raise KeyError("killed")


def test_training_learns_the_habit_of_this_shop(small, tmp_path):
    module, data, settings = small(max_epochs=100, patience=100, negatives="all", dropout=0.0)
    best = train(module, data, settings, 0, tmp_path)
    assert best.curve[-1]["train_loss"] < 0.8 * best.curve[0]["train_loss"]
    assert best.value > 0.5  # a third is what a list of 10 out of 20 in no order would reach


@pytest.mark.parametrize("negatives", ["pool", "all"])
@pytest.mark.parametrize("step", [2, 5, 8, -5, -10])  # inside an epoch, at its last step, and before its end is written
def test_a_training_cut_off_and_resumed_is_bit_identical(small, tmp_path, monkeypatch, step, negatives):
    module, data, settings = small(negatives=negatives)
    assert data.plan.steps == 5
    whole = train(module, data, settings, 0, _folder(tmp_path / "whole"))
    cut, data, settings = small(negatives=negatives)
    real = L.Trainer
    monkeypatch.setattr(L, "Trainer", lambda callbacks, **kw: real(callbacks=[*callbacks, _Stop(step)], **kw))
    with pytest.raises(KeyError, match="killed"):
        train(cut, data, settings, 0, _folder(tmp_path / "cut"))
    monkeypatch.setattr(L, "Trainer", real)
    torch.manual_seed(77)  # a new process starts with another state of chance
    fresh, data, settings = small(negatives=negatives)
    resumed = train(fresh, data, settings, 0, tmp_path / "cut")
    assert resumed.curve == whole.curve
    assert (resumed.epoch, resumed.value) == (whole.epoch, whole.value)
    for (name, one), two in zip(module.state_dict().items(), fresh.state_dict().values(), strict=True):
        assert torch.equal(one, two), name


def test_a_loss_that_is_no_number_stops_training_before_it_is_kept(small, tmp_path, monkeypatch):
    module, data, settings = small()
    real = TwoTower.loss
    calls = []

    def broken(self, batch):
        calls.append(batch)
        loss, count = real(self, batch)
        return (loss * float("nan") if len(calls) == 4 else loss), count

    monkeypatch.setattr(TwoTower, "loss", broken)
    with pytest.raises(LossError, match=r"step 4 is nan.*Lower towers\.learning_rate"):
        train(module, data, settings, 0, tmp_path)
    kept = torch.load(tmp_path / "last.ckpt", weights_only=False)
    assert kept["global_step"] == 3
    assert all(torch.isfinite(weights).all() for weights in kept["state_dict"].values())


def test_a_module_handed_over_in_evaluation_mode_is_trained_with_dropout_all_the_same(small, tmp_path):
    """As the one that a round before leaves behind is."""
    curves = []
    for mode in (True, False):
        module, data, settings = small(dropout=0.3, max_epochs=1)
        curves.append(train(module.train(mode), data, settings, 0, _folder(tmp_path / str(mode))).curve)
    assert curves[0] == curves[1]


def test_training_stops_when_nothing_better_comes(small, tmp_path):
    module, data, settings = small(max_epochs=50, patience=2, learning_rate=1e-30)
    best = train(module, data, settings, 0, tmp_path)
    assert (best.epoch, len(best.curve)) == (0, 3)


def test_the_saved_model_needs_nothing_but_its_file(small, tmp_path):
    module, data, settings = small(max_epochs=1)
    best = train(module, data, settings, 0, tmp_path)
    save_model(module, best.file, tmp_path / "model.ckpt")
    assert "optimizer_states" not in torch.load(best.file, weights_only=False)  # twice the weights, for nothing
    assert "optimizer_states" in torch.load(tmp_path / "last.ckpt", weights_only=False)
    loaded = TwoTower.load_from_checkpoint(tmp_path / "model.ckpt", map_location="cpu")
    assert type(loaded.hparams["settings"]) is dict
    for (name, one), two in zip(module.state_dict().items(), loaded.state_dict().values(), strict=True):
        assert torch.equal(one, two), name


def test_the_curve_has_a_row_per_epoch(tmp_path):
    write_curve([{"epoch": 0, "val_ndcg@10": 0.5}, {"epoch": 1, "val_ndcg@10": 0.6}], tmp_path / "curves.csv")
    assert (tmp_path / "curves.csv").read_text().splitlines() == ["epoch,val_ndcg@10", "0,0.5", "1,0.6"]


def _folder(path):
    path.mkdir()
    return path
