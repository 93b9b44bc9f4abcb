"""The source `lexical`, which needs two packages beyond the runtime, and nothing else."""

import json
import subprocess
import sys

import pytest

from retrieval.lexical import LexicalSource
from serving.manifest import BundleError
from serving.sources import open_sources

SETTINGS = {
    "sources": ["lexical"],
    "associations_halflife": 2.0,
    "repeats_targets": {},
    "repeats_others": 0.0,
    "repeats_halflife_days": 1.0,
}
TEXTS = ["Headphones WH-1000XM4", "耳机 WH-1000XM5", "red lamp", "Lamp A2337-256"]
QUERIES = ["sony wh-1000xm4", "降噪耳机", "lamp A2337-256", "", "nothing"]

ASK = """
import json, sys
from pathlib import Path

absent = set(sys.argv[1].split())


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
from serving.sources import open_sources

source = open_sources(Path(sys.argv[2]), json.loads(sys.argv[3]))["lexical"]
for query in json.loads(sys.argv[4]):
    items, scores = source.match(query)
    print(json.dumps([items.tolist(), scores.tolist()]))
"""
HEAVY = (
    "duckdb ibis lightning mlflow omegaconf onnx onnxscript pandas pyarrow scipy sqlglot torch torchmetrics tqdm "
    "transformers yaml"
)


def test_a_serving_machine_answers_search_terms_as_the_pipeline_does(tmp_path):
    source = LexicalSource.build(TEXTS)
    source.save(tmp_path / "statistics" / "lexical")
    command = [sys.executable, "-c", ASK, HEAVY, str(tmp_path), json.dumps(SETTINGS), json.dumps(QUERIES)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = [[part.tolist() for part in source.match(query)] for query in QUERIES]
    assert [json.loads(line) for line in done.stdout.splitlines()] == expected
    assert [len(items) for items, _ in expected] == [2, 1, 2, 0, 0]


def test_without_its_packages_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("serving.sources.find_spec", lambda name: None if name == "jieba" else name)
    with pytest.raises(BundleError, match=r"source 'lexical'\), which needs jieba; pip install 'mercato\[lexical\]'"):
        open_sources(tmp_path, SETTINGS)
