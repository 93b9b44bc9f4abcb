"""What a tracking server holds of a run, fetched to be looked through."""

from __future__ import annotations

import json
from pathlib import Path

from mlflow.exceptions import MlflowException

from configs.errors import InputError
from pipeline.registry.tracking import open_tracking


def fetch_tracked(uri: str, run_id: str, folder: Path) -> tuple[list[Path], list[str]]:
    """Fetch what a tracking server holds of a run, without its models, into ``folder``.

    Returns: the files, among them ``params.json`` with the run's parameters and tags, and what could not be had.
    """
    try:
        client = open_tracking(uri, make=False)
        told = client.get_run(run_id)
        names = [artifact.path for artifact in client.list_artifacts(run_id) if not artifact.is_dir]
        files = [Path(client.download_artifacts(run_id, name, str(folder))) for name in names]
    except (MlflowException, InputError, OSError) as error:
        return [], [f"what {uri} holds of run {run_id} was not looked through: {error}"]
    # Who ran it, and from where, MLflow notes by itself; of users it knows nothing.
    tags = {name: value for name, value in told.data.tags.items() if not name.startswith("mlflow.")}
    params = folder / "params.json"
    params.write_text(json.dumps({"params": told.data.params, "tags": tags}), encoding="utf-8")
    return [*files, params], []
