"""The experiment log and model registry: what a run was, how well it went, and its bundle as a model version."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from configs.errors import InputError

# Read when MLflow is imported: no telemetry, and no log lines and progress bars between those of the stages.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

ALIAS = "candidate"
"""Alias that moves to each newly registered version; who takes it live is the serving team's decision."""
_KEY_TAG = "mercato.key"
_BATCH = 100
"""MLflow's limit of parameters in one call; a metrics call takes ten times as many."""
_LONGEST_PARAM = 6000
_SIGNATURE = ModelSignature(
    Schema(
        [
            ColSpec("string", "user"),
            ColSpec("string", "query", required=False),
            ColSpec("long", "k", required=False),
        ]
    )
)


@dataclass(frozen=True)
class Record:
    """What is logged of a run."""

    name: str
    key: str
    """Names the work: an unfinished record of the same key is replaced."""
    params: Mapping[str, str]
    """The resolved config, ``section.setting`` to value, and the data window."""
    metrics: Mapping[str, float]
    curves: Mapping[str, Sequence[tuple[int, float]]]
    """Name to (step, value) pairs."""
    tags: Mapping[str, str]
    files: Sequence[Path]
    """Put under the run's artifacts."""


@dataclass(frozen=True)
class Registered:
    """Where a record and its model version are found."""

    run_id: str
    model: str
    version: str


class Registry:
    """MLflow at one tracking URI, one experiment."""

    def __init__(self, uri: str, experiment: str) -> None:
        """Open the tracking server or database, making a local database and the experiment where needed.

        Raises:
            InputError: if ``uri`` names a folder: MLflow's file store is no longer supported.
        """
        location = _local_artifacts(uri)
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        self._client = MlflowClient()
        known = self._client.get_experiment_by_name(experiment)
        self._experiment = known.experiment_id if known else self._client.create_experiment(experiment, location)

    def register(self, record: Record, bundle: Path, model: str) -> Registered:
        """Log ``record`` as a run, its ``bundle`` as a version of ``model``, and point the alias at that version."""
        self._remove_unfinished(record.key)
        tags = {**record.tags, _KEY_TAG: record.key}
        with mlflow.start_run(experiment_id=self._experiment, run_name=record.name, tags=tags) as run:
            self._log(run.info.run_id, record)
            code = Path(__file__).with_name("registered_model.py")
            with warnings.catch_warnings():
                # MLflow asks for an input example, which it would run; the golden requests do that better.
                warnings.simplefilter("ignore", UserWarning)
                info = mlflow.pyfunc.log_model(
                    name="bundle",
                    python_model=str(code),
                    artifacts={"bundle": str(bundle)},
                    signature=_SIGNATURE,
                    pip_requirements=["mercato"],
                    registered_model_name=model,
                )
            version = str(info.registered_model_version)
            self._client.set_registered_model_alias(model, ALIAS, version)
        return Registered(run.info.run_id, model, version)

    def _log(self, run_id: str, record: Record) -> None:
        params = [Param(name, value[:_LONGEST_PARAM]) for name, value in record.params.items()]
        for first in range(0, len(params), _BATCH):
            self._client.log_batch(run_id, params=params[first : first + _BATCH])
        now = int(time.time() * 1000)
        points = [Metric(metric_name(name), value, now, 0) for name, value in record.metrics.items()]
        points += [Metric(metric_name(name), y, now, x) for name, curve in record.curves.items() for x, y in curve]
        for first in range(0, len(points), 10 * _BATCH):
            self._client.log_batch(run_id, metrics=points[first : first + 10 * _BATCH])
        for file in record.files:
            self._client.log_artifact(run_id, str(file))

    def _remove_unfinished(self, key: str) -> None:
        """Delete what a registration that was cut off has left of the same work."""
        runs = self._client.search_runs([self._experiment], f"tags.`{_KEY_TAG}` = '{key}'")
        for run in runs:
            if run.info.status != RunStatus.to_string(RunStatus.FINISHED):
                self._client.delete_run(run.info.run_id)


def metric_name(name: str) -> str:
    """Return ``name`` with the one character of ours that MLflow refuses written out: ``ndcg@10``, ``ndcg_at_10``."""
    return name.replace("@", "_at_")


def _local_artifacts(uri: str) -> str | None:
    """Return where a local database keeps its artifacts (beside it), None for a server, which knows by itself."""
    scheme = urlparse(uri).scheme
    if scheme in ("", "file"):
        raise InputError(
            f"tracking.uri is {uri!r}, a folder, but MLflow no longer keeps experiments in folders; "
            "use a database such as sqlite:///runs/mlflow.db or the http address of a tracking server"
        )
    if scheme != "sqlite":
        return None
    database = Path(uri.removeprefix("sqlite:///")).resolve()
    database.parent.mkdir(parents=True, exist_ok=True)
    return (database.parent / "mlflow-artifacts").as_uri()


def fetch_tracked(uri: str, run_id: str, folder: Path) -> tuple[list[Path], list[str]]:
    """Fetch what a tracking server holds of a run, without its models, into ``folder``.

    Returns: the files, among them ``params.json`` with the run's parameters and tags, and what could not be had.
    """
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    try:
        told = client.get_run(run_id)
        names = [artifact.path for artifact in client.list_artifacts(run_id) if not artifact.is_dir]
        files = [Path(client.download_artifacts(run_id, name, str(folder))) for name in names]
    except (MlflowException, OSError) as error:
        return [], [f"what {uri} holds of run {run_id} was not looked through: {error}"]
    # Who ran it, and from where, MLflow notes by itself; of users it knows nothing.
    tags = {name: value for name, value in told.data.tags.items() if not name.startswith("mlflow.")}
    params = folder / "params.json"
    params.write_text(json.dumps({"params": told.data.params, "tags": tags}), encoding="utf-8")
    return [*files, params], []
