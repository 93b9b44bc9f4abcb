import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pandas as pd
import pytest

from pipeline.registry.registration import Record, Registry
from serving.runtime import Runtime

mlflow = pytest.importorskip("mlflow")


@pytest.fixture(scope="module")
def uri(exported, tmp_path_factory):
    """A registry whose candidate is the tiny bundle."""
    address = f"sqlite:///{tmp_path_factory.mktemp('registered') / 'mlflow.db'}"
    record = Record("a run", "k", params={}, metrics={}, curves={}, tags={}, files=[])
    Registry(address, "a shop").register(record, exported[0].folder / "bundle", "shop")
    return address


@pytest.fixture(scope="module")
def model(uri):
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return mlflow.pyfunc.load_model("models:/shop@candidate")


def test_the_candidate_answers_as_the_bundle_does(exported, model):
    asked = pd.DataFrame({"user": ["u000001", "nobody"], "query": ["red tea", None], "k": [3, 5]})
    answers = model.predict(asked)
    assert [len(answer) for answer in answers] == [3, 5]
    expected = Runtime(exported[0].folder / "bundle").recommend("u000001", query="red tea", k=3)
    assert [item["item_id"] for item in answers[0]] == [item.item_id for item in expected.items]
    assert answers[0][0]["reasons"] == [str(reason) for reason in expected.items[0].reasons]
    assert len(model.predict(pd.DataFrame({"user": ["u000002"]}))[0]) == 10


def test_the_input_example_is_answered_and_names_no_user(model):
    example = model.input_example
    assert example["user"].tolist() == [""]
    assert len(model.predict(example)[0]) == 5


def test_nothing_of_the_model_is_pickled(uri, tmp_path):
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    fetched = mlflow.artifacts.download_artifacts("models:/shop@candidate", dst_path=str(tmp_path))
    names = [name for _, _, files in os.walk(fetched) for name in files]
    assert "registered_model.py" in names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".cloudpickle"))]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_mlflow_serves_the_candidate(exported, uri):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/shop@candidate"]
    server = subprocess.Popen(
        [*command, "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, "MLFLOW_TRACKING_URI": uri, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said = next(line for line in server.stderr if "startup complete" in line)
        assert said
        body = json.dumps({"dataframe_records": [{"user": "u000001", "query": "red tea", "k": 3}]}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as response:
            (answer,) = json.load(response)["predictions"]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    expected = Runtime(exported[0].folder / "bundle").recommend("u000001", query="red tea", k=3)
    assert [item["item_id"] for item in answer] == [item.item_id for item in expected.items]
