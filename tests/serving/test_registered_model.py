import pandas as pd
import pytest

from pipeline.registry.registration import Record, Registry
from serving.runtime import Runtime

mlflow = pytest.importorskip("mlflow")


def test_the_candidate_answers_as_the_bundle_does(exported, tmp_path):
    bundle = exported[0].folder / "bundle"
    record = Record("a run", "k", params={}, metrics={}, curves={}, tags={}, files=[])
    Registry(f"sqlite:///{tmp_path / 'mlflow.db'}", "a shop").register(record, bundle, "shop")
    model = mlflow.pyfunc.load_model("models:/shop@candidate")
    asked = pd.DataFrame({"user": ["u000001", "nobody"], "query": ["red tea", None], "k": [3, 5]})
    answers = model.predict(asked)
    assert [len(answer) for answer in answers] == [3, 5]
    expected = Runtime(bundle).recommend("u000001", query="red tea", k=3)
    assert [item["item_id"] for item in answers[0]] == [item.item_id for item in expected.items]
    assert answers[0][0]["reasons"] == [str(reason) for reason in expected.items[0].reasons]
    assert len(model.predict(pd.DataFrame({"user": ["u000002"]}))[0]) == 10
