"""Loggers that follow a training while it runs. MLflow gets its curves from ``register``, with everything else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from configs.errors import InputError
from configs.schema import TrackingConfig

_MAKERS: dict[str, Callable[[TrackingConfig, Path], Logger]] = {
    "csv": lambda tracking, folder: CSVLogger(str(folder), name="csv", version=""),
    "tensorboard": lambda tracking, folder: TensorBoardLogger(str(folder), name="tensorboard", version=""),
    "wandb": lambda tracking, folder: WandbLogger(project=tracking.experiment, save_dir=str(folder)),
}


def training_loggers(tracking: TrackingConfig, folder: Path) -> list[Logger]:
    """Return the Lightning loggers that ``tracking.loggers`` names, besides ``mlflow``.

    Args:
        tracking: the ``tracking`` section.
        folder: where they write.

    Raises:
        InputError: for a logger whose package is missing.
    """
    chosen = []
    for name in tracking.loggers:
        if name != "mlflow":
            try:
                chosen.append(_MAKERS[name](tracking, folder))
            except (ImportError, ModuleNotFoundError) as error:
                raise InputError(
                    f"tracking.loggers has {name!r}, whose package is missing ({error}); "
                    f"pip install {name}, or leave it out"
                ) from error
    return chosen
