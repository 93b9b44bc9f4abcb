"""Where MLflow keeps runs and models: a database or a server, opened with a sentence for whatever is wrong with it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlparse

from configs.errors import InputError

# Read when MLflow is imported: no telemetry, and no log lines and progress bars between those of the stages.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

_SQLITE = "sqlite:///"


def open_tracking(uri: str, *, make: bool) -> MlflowClient:
    """Return a client of the tracking server or database at ``uri``.

    Args:
        uri: ``sqlite:///PATH``, another database, or a server's address.
        make: whether a local database that is not there yet is made.

    Raises:
        InputError: if ``uri`` names a folder (MLflow's file store is no longer supported), or a database that is not
            there and shall not be made.
    """
    if urlparse(uri).scheme in ("", "file"):
        raise InputError(
            f"tracking.uri is {uri!r}, a folder, but MLflow no longer keeps experiments in folders; "
            "use a database such as sqlite:///runs/mlflow.db or the http address of a tracking server"
        )
    database = local_database(uri)
    if database and make:
        database.parent.mkdir(parents=True, exist_ok=True)
    if database and not make and not database.is_file():
        raise InputError(
            f"tracking.uri is {uri!r}, but there is no database {database}; `mercato register CONFIG` makes it, or "
            "name the one that the models were registered in"
        )
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return MlflowClient()


def experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """Return the id of the experiment ``name``, made where there is none; a database keeps artifacts beside it."""
    known = client.get_experiment_by_name(name)
    if known:
        return str(known.experiment_id)
    database = local_database(uri)
    location = (database.parent / "mlflow-artifacts").as_uri() if database else None
    try:
        return str(client.create_experiment(name, location))
    except MlflowException:
        known = client.get_experiment_by_name(name)  # somebody else made it in the meantime
        if known is None:
            raise
        return str(known.experiment_id)


def local_database(uri: str) -> Path | None:
    """Return the file of a SQLite database, None for what lies on a server."""
    if not uri.startswith(_SQLITE):
        return None
    return Path(uri.removeprefix(_SQLITE)).resolve()
