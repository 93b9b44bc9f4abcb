import subprocess
import sys

import numpy as np

from configs.schema import Config
from pipeline.index import index, towers_of
from pipeline.plain_export import write_plain
from pipeline.report.index_choice import read_index_choice
from pipeline.run_folder import RunFolder
from pipeline.stage import Work
from retrieval.index import ItemIndex
from retrieval.index_folder import open_index, read_facts
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
    return folder, outcome.lines, read_facts(root / "index")[0]


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


def test_a_large_catalogue_is_divided_into_shards_that_answer_as_one_index(tmp_path):
    folder, lines, _ = run(tmp_path, shard_items=1000, at_k=20, target_recall=1.0)
    assert "3,000 items of width 16, searched on disk; 3 shards (Flat): recall@20 1.0000" in lines[0]
    opened = open_index(folder.stage("index"), towers_of(folder))
    vectors, _, test = draw(3000, 16, 200)
    whole = ItemIndex.build(np.arange(3000), vectors, gpus=0).search(test, 20)
    for found, right in zip(opened.search(test, 20), whole, strict=True):
        assert found.tolist() == right.tolist()
    choice = read_index_choice(folder)
    assert choice.terms["Shards"].startswith("3 of 3,000 items in all")
    assert choice.terms["Recall, test window"] == "1.0000, surely 1.0000, on 200 requests"

    plain = tmp_path / "plain"
    plain.mkdir()
    names = [f"item {code}" for code in range(3000)]
    write_plain(plain, names, vectors, folder.stage("index"))
    told = subprocess.run(
        [sys.executable, plain / "read.py", "item 7", "5"], capture_output=True, text=True, check=True
    )
    nearest = ItemIndex.build(np.arange(3000), vectors, gpus=0).search(vectors[7:8], 5)[0][0]
    assert [line.split("  ")[1] for line in told.stdout.splitlines()] == [names[code] for code in nearest]


def test_a_small_catalogue_stays_exact_and_is_told_why(tmp_path):
    _, lines, facts = run(tmp_path, exact_below_ms=1000.0)
    assert facts["exact"]
    assert "exact search takes" in lines[0]
    assert "within the 1000 ms that are set" in lines[0]
