"""What a run was and how well it went as an MLflow run, and its bundle as a version of a registered model."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.entities import Metric, Param, RunStatus
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from pipeline.registry.tracking import experiment_id, open_tracking

ALIAS = "candidate"
"""Alias that moves to each newly registered version; ``mercato promote`` asks whether it may become the champion."""
_KEY_TAG = "mercato.key"
_BATCH = 100
"""MLflow's limit of parameters in one call; a metrics call takes ten times as many."""
_LONGEST_PARAM = 6000
_SIGNATURE = ModelSignature(
    Schema(
        [
            ColSpec("string", "user", required=False),
            ColSpec("string", "query", required=False),
            ColSpec("long", "k", required=False),
        ]
    )
)
_EXAMPLE = pd.DataFrame({"user": [""], "query": ["green tea"], "k": [5]})
"""A request of nobody: MLflow stores it with the model, so it names no user."""


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
    """Put under the run's artifacts; a folder with all that is in it."""


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
            InputError: if ``uri`` names a folder.
        """
        self._client = open_tracking(uri, make=True)
        self._experiment = experiment_id(self._client, uri, experiment)

    def register(self, record: Record, bundle: Path, model: str) -> Registered:
        """Log ``record`` as a run, its ``bundle`` as a version of ``model``, and point the alias at that version."""
        self._remove_unfinished(record.key)
        tags = {**record.tags, _KEY_TAG: record.key}
        with mlflow.start_run(experiment_id=self._experiment, run_name=record.name, tags=tags) as run:
            self._log(run.info.run_id, record)
            code = Path(__file__).with_name("registered_model.py")
            with warnings.catch_warnings():
                # MLflow warns of integer columns that may lack values; an empty k means the default here.
                warnings.simplefilter("ignore", UserWarning)
                info = mlflow.pyfunc.log_model(
                    name="bundle",
                    python_model=str(code),
                    artifacts={"bundle": str(bundle)},
                    signature=_SIGNATURE,
                    input_example=_EXAMPLE,
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
