import json

import numpy as np
import pytest

from pipeline.report.headline import Estimate
from pipeline.report.model_plots import ranker_figures, tower_figures
from pipeline.report.training import read_columns, read_verdict, running_mean
from pipeline.run_folder import RunFolder


@pytest.fixture
def gate(tmp_path):
    def write(verdict):
        folder = tmp_path / "train-ranker"
        folder.mkdir()
        (folder / "manifest.json").write_text("{}")
        (folder / "gate.json").write_text(json.dumps(verdict))
        return RunFolder(tmp_path)

    return write


def test_each_protocol_has_its_own_verdict(gate):
    number = {"value": 0.4, "low": 0.3, "high": 0.5}
    whole = {"requests": 7, "users": 5, "paired": number, "ndcg@10": {"blended": number, "reranked": number}}
    new = {"shipped": False, "reason": "no gain", "weight": 0.0}
    run = gate({"shipped": True, "reason": "gain", "weight": 0.8, **whole, "new_items": new})
    main = read_verdict(run, "main")
    assert (main.shipped, main.weight, main.users) == (True, 0.8, 5)
    assert main.orders["reranked"] == main.difference == Estimate(0.4, 0.3, 0.5)
    beside = read_verdict(run, "new_items")
    assert (beside.shipped, beside.reason, beside.orders) == (False, "no gain", {})


def test_a_gate_that_was_not_asked_has_no_verdict(gate):
    assert read_verdict(gate({"shipped": False, "reason": "off", "new_items": None}), "new_items") is None


def test_curves_are_read_with_their_gaps(tmp_path):
    (tmp_path / "curves.csv").write_text("epoch,train_loss,val_ndcg@10\n0,2.5,\n1,2.0,0.25\n")
    columns = read_columns(tmp_path / "curves.csv")
    assert columns == {"epoch": [0, 1], "train_loss": [2.5, 2.0], "val_ndcg@10": [None, 0.25]}
    loss, ndcg = tower_figures(columns)
    assert [row[0] for row in loss.table.rows] == ["1", "2"]
    assert ndcg.table.rows == [["2", "0.2500"]]


def test_a_training_that_never_was_has_no_curves(tmp_path):
    assert read_columns(tmp_path / "curves.csv") == {}
    assert list(tower_figures({})) == list(ranker_figures({})) == []


def test_the_running_mean_looks_back_only():
    assert running_mean(np.array([1.0, 3.0, 5.0]), 2).tolist() == [1, 2, 4]
