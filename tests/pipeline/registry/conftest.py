"""A registry with three versions: made once, since a new database costs seconds, and copied for each test."""

import shutil

import pytest

from tests.pipeline.registry.versions import evidence, register


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """Database of a model whose version 2 is as good as 1, and whose candidate, 3, is better."""
    file = tmp_path_factory.mktemp("registry") / "mlflow.db"
    for value in (0.5, 0.5, 0.6):
        register(f"sqlite:///{file}", evidence(value))
    return file


@pytest.fixture
def uri(prepared, tmp_path):
    """A copy of it; the artifacts stay where they are."""
    shutil.copyfile(prepared, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"
