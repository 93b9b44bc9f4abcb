import json

import numpy as np

from configs.schema import Config
from pipeline.index import index, towers_of
from pipeline.run_folder import RunFolder
from pipeline.stage import Work
from retrieval.index import ItemIndex
from tests.retrieval.clusters import draw


def run(root, **retrieval):
    vectors, validation, test = draw(3000, 16, 200)
    embedded = root / "embed"
    embedded.mkdir(parents=True, exist_ok=True)
    np.save(embedded / "item_vectors.npy", vectors)
    np.save(embedded / "users_validation.npy", validation)
    np.save(embedded / "users_test.npy", test)
    (embedded / "manifest.json").write_text("{}")
    config = Config()
    config.run.seed = 5
    for name, value in retrieval.items():
        setattr(config.retrieval, name, value)
    folder = RunFolder(root)
    outcome = index(Work(config, folder, folder.open_temporary("index"), "index", "key"))
    folder.commit("index", folder.temporary("index"), {})
    return folder, outcome.lines, json.loads((root / "index" / "index.json").read_text())


def test_the_promise_of_the_config_is_kept_with_users_of_both_windows(tmp_path, monkeypatch):
    monkeypatch.setattr("retrieval.promise.seconds_per_query", lambda searches, *_: [1.0] + [0.5] * (len(searches) - 1))
    folder, lines, facts = run(
        tmp_path, exact_below_ms=0.0, target_recall=0.9, at_k=20, index_families=["ivf-flat"], index_queries=150
    )
    told = facts["promise"]
    assert (told["family"], told["target_recall"], told["at_k"], told["seed"]) == ("ivf-flat", 0.9, 20, 5)
    assert told["validation"]["queries"] == told["fresh"]["queries"] == 150
    assert told["validation"]["low"] >= 0.9
    assert len(lines) == 1
    assert "for a promise of 0.9" in lines[0]
    assert not ItemIndex.load(folder.stage("index"), towers=towers_of(folder)).exact


def test_a_small_catalogue_stays_exact_and_is_told_why(tmp_path):
    _, lines, facts = run(tmp_path, exact_below_ms=1000.0)
    assert facts["exact"]
    assert "exact search takes" in lines[0]
    assert "within the 1000 ms that are set" in lines[0]
