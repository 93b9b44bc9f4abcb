import subprocess
from pathlib import Path

import pytest

from configs.errors import InputError
from pipeline.provenance import git_commit, versions
from pipeline.registry.registration import ALIAS, Record, Registry, metric_name

mlflow = pytest.importorskip("mlflow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="module")
def registry(folder):
    return Registry(f"sqlite:///{folder / 'mlflow.db'}", "a shop")


@pytest.fixture(scope="module")
def bundle(folder):
    (folder / "bundle").mkdir()
    (folder / "bundle" / "manifest.json").write_text("{}")
    return folder / "bundle"


def record(folder, key="k1"):
    note = folder / "config.yaml"
    note.write_text("towers:\n  dim: 8\n")
    return Record(
        name="a run",
        key=key,
        params={"towers.dim": "8", "long": "x" * 10_000},
        metrics={"mercato/ndcg@10": 0.25},
        curves={"train/loss": [(1, 2.0), (2, 1.5)]},
        tags={"git.commit": "abc"},
        files=[note],
    )


def test_config_metrics_curves_and_bundle_are_logged(registry, bundle, folder):
    done = registry.register(record(folder), bundle, "shop-model")
    client = mlflow.MlflowClient()
    run = client.get_run(done.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["towers.dim"] == "8"
    assert run.data.metrics["mercato/ndcg_at_10"] == 0.25
    assert run.data.tags["git.commit"] == "abc"
    curve = client.get_metric_history(done.run_id, "train/loss")
    assert [(point.step, point.value) for point in curve] == [(1, 2.0), (2, 1.5)]
    assert [file.path for file in client.list_artifacts(done.run_id)] == ["config.yaml"]


def test_the_newest_version_is_the_candidate_and_carries_the_bundle(registry, bundle, folder):
    first = registry.register(record(folder, "k2"), bundle, "other-model")
    second = registry.register(record(folder, "k3"), bundle, "other-model")
    assert (first.version, second.version) == ("1", "2")
    assert str(mlflow.MlflowClient().get_model_version_by_alias("other-model", ALIAS).version) == second.version
    fetched = Path(
        mlflow.artifacts.download_artifacts(f"models:/other-model@{ALIAS}", dst_path=str(folder / "fetched"))
    )
    assert (fetched / "artifacts" / "bundle" / "manifest.json").read_text() == "{}"


def test_a_registration_cut_off_is_replaced(registry, bundle, folder, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mlflow.pyfunc.log_model", stop)
        with pytest.raises(KeyboardInterrupt):
            registry.register(record(folder, "k4"), bundle, "third-model")
    registry.register(record(folder, "k4"), bundle, "third-model")
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("a shop").experiment_id
    runs = client.search_runs([experiment], "tags.`mercato.key` = 'k4'")
    assert [run.info.status for run in runs] == ["FINISHED"]


@pytest.mark.parametrize("uri", ["mlruns", "file:///tmp/mlruns", "./runs"])
def test_a_folder_as_store_is_refused_with_the_remedy(uri):
    with pytest.raises(InputError, match=r"sqlite:///runs/mlflow\.db"):
        Registry(uri, "a shop")


def test_metric_names_carry_no_at_sign():
    assert metric_name("towers/recall@50") == "towers/recall_at_50"


def test_a_changed_checkout_is_marked(tmp_path):
    def git(*arguments):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    assert git_commit(tmp_path) == ""
    git("init")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-m", "one")
    clean = git_commit(tmp_path)
    assert len(clean) == 40
    (tmp_path / "file").write_text("two")
    assert git_commit(tmp_path) == f"{clean}+changes"


def test_versions_leave_out_what_is_not_installed():
    assert list(versions("numpy", "no-such-package-here")) == ["numpy"]
