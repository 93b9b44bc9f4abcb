import json

import pytest

from configs.schema import Config
from pipeline.register import flat, flat_metrics, read_curves, register, without_password
from pipeline.run_folder import RunFolder
from pipeline.stage import Work
from serving.manifest import BundleError, seal
from tests.pipeline.registry.versions import evidence


def test_sections_become_dotted_names():
    assert flat({"towers": {"dim": 8, "targets": {}}, "at": [5, 10]}) == {
        "towers.dim": "8",
        "towers.targets": "{}",
        "at": "[5, 10]",
    }


def test_metrics_are_named_by_system_and_pair():
    interval = {"value": 0.2, "low": 0.1, "high": 0.3}
    measured = {
        "systems": {"mercato": {"ndcg@10": interval, "recall@10": {"value": None, "low": None, "high": None}}},
        "paired": {"mercato - popularity": {"ndcg@10": interval}},
    }
    assert flat_metrics(measured) == {
        "mercato/ndcg@10": 0.2,
        "mercato - popularity/ndcg@10/value": 0.2,
        "mercato - popularity/ndcg@10/low": 0.1,
        "mercato - popularity/ndcg@10/high": 0.3,
    }


def test_a_curve_is_numbered_by_its_step(tmp_path):
    (tmp_path / "curves.csv").write_text("epoch,step,train/loss,val/ndcg@10\n0,10,2.5,\n1,20,2.0,0.03\n")
    assert read_curves(tmp_path / "curves.csv") == {
        "train/loss": [(10, 2.5), (20, 2.0)],
        "val/ndcg@10": [(20, 0.03)],
    }


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("postgresql://me:secret@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("sqlite:///runs/mlflow.db", "sqlite:///runs/mlflow.db"),
        ("https://host/path", "https://host/path"),
    ],
)
def test_no_password_is_written_down(uri, told):
    config = Config()
    config.tracking.uri = uri
    assert without_password(config).tracking.uri == told
    assert config.tracking.uri == uri


@pytest.fixture
def work(tmp_path):
    """A run folder with as little as ``register`` reads."""
    root = tmp_path / "run"
    for stage in ("train-towers", "train-ranker"):
        (root / stage).mkdir(parents=True)
        (root / stage / "manifest.json").write_text("{}")
    (root / "train-towers" / "curves.csv").write_text("epoch,train/loss\n0,2.5\n1,2.0\n")
    interval = {"value": 0.2, "low": 0.1, "high": 0.3}
    (root / "metrics.json").write_text(json.dumps({"systems": {"mercato": {"ndcg@10": interval}}}))
    (root / "bundle").mkdir()
    seal(root / "bundle", {"window": {"start": 1, "end": 5, "events": 3}})
    config = Config()
    config.run.name = config.tracking.experiment = "a shop"
    config.tracking.model = "mercato-a-shop"
    config.tracking.uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    run = RunFolder(root)
    return Work(config, run, run.open_temporary("register"), "register", "key")


def test_the_stage_logs_the_run_and_says_where_it_is(work, monkeypatch):
    seen = []

    class Registry:
        def __init__(self, uri, experiment):
            seen.append((uri, experiment))

        def register(self, record, bundle, model):
            from pipeline.registry.registration import Registered

            seen.append(record)
            return Registered("run", model, "1")

    monkeypatch.setattr("pipeline.registry.registration.Registry", Registry)
    monkeypatch.setattr("pipeline.register.guarded_evidence", lambda work: evidence(0.5))
    outcome = register(work)
    place, record = seen
    assert place == (work.config.tracking.uri, "a shop")
    assert record.params["towers.dim"] == "256"
    assert record.params["data_window.events"] == "3"
    assert record.metrics == {"mercato/ndcg@10": 0.2}
    assert record.curves == {"towers/train/loss": [(0, 2.5), (1, 2.0)]}
    assert {file.name for file in record.files} == {"config.yaml", "metrics.json", "evidence"}
    assert outcome.lines[0].startswith("model mercato-a-shop, version 1, alias candidate (bundle ")
    assert json.loads((work.out / "registered.json").read_text())["alias"] == "candidate"


def test_a_damaged_bundle_is_not_registered(work):
    (work.run.root / "bundle" / "more").write_text("")
    with pytest.raises(BundleError, match="file more is not in the manifest"):
        register(work)
