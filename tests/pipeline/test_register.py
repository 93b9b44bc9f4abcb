import pytest

from configs.schema import Config
from pipeline.register import flat, flat_metrics, read_curves, without_password


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
