import csv

import lightning as L
import pytest
import torch

from configs.errors import InputError
from configs.schema import TrackingConfig
from pipeline.loggers import training_loggers


class _Module(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, batch_idx):
        loss = (self.weight - batch).square().mean()
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def _train(loggers):
    batches = torch.utils.data.DataLoader(torch.ones(4), batch_size=1)
    settings = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    L.Trainer(
        accelerator="cpu", max_epochs=2, logger=loggers, log_every_n_steps=2, default_root_dir=None, **settings
    ).fit(_Module(), batches)


def test_mlflow_gets_its_curves_from_the_stage_register(tmp_path):
    assert training_loggers(TrackingConfig(loggers=["mlflow"]), tmp_path) == []


def test_csv_holds_the_curve(tmp_path):
    _train(training_loggers(TrackingConfig(loggers=["mlflow", "csv"]), tmp_path))
    rows = list(csv.DictReader((tmp_path / "csv" / "metrics.csv").open()))
    losses = [float(row["train/loss"]) for row in rows]
    assert losses == sorted(losses, reverse=True)
    assert [int(row["step"]) for row in rows] == [1, 3, 5, 7]


def test_tensorboard_writes_events(tmp_path):
    pytest.importorskip("tensorboard", reason="the package tensorboard is not installed")
    _train(training_loggers(TrackingConfig(loggers=["tensorboard"]), tmp_path))
    assert list((tmp_path / "tensorboard").glob("events.*"))


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_logger_without_its_package_says_what_to_install(tmp_path, monkeypatch, name):
    def missing(*_, **__):
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr(f"pipeline.loggers.{'WandbLogger' if name == 'wandb' else 'TensorBoardLogger'}", missing)
    with pytest.raises(
        InputError, match=rf"tracking\.loggers has '{name}', whose package is missing.*pip install {name}"
    ):
        training_loggers(TrackingConfig(loggers=[name]), tmp_path)
