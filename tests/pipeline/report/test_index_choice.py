import json

import pytest

from pipeline.report.index_choice import read_index_choice
from pipeline.run_folder import RunFolder

FRONT = [
    {"family": "ivf-sq8", "structure": "IVF64,SQ8", "reach": 2, "factor": 1.5, "recall": 0.97, "low": 0.96,
     "queries_per_second": 9000.0, "bytes": 2_000_000, "build_seconds": 0.5},
    {"family": "flat", "structure": "Flat", "reach": 0, "factor": 1.0, "recall": 1.0, "low": 1.0,
     "queries_per_second": 300.0, "bytes": 8_000_000, "build_seconds": 0.0},
]  # fmt: skip
PROMISE = {"target_recall": 0.95, "at_k": 20, "tune_for": "latency", "why": "the fastest", "front": FRONT}


@pytest.fixture
def choice(tmp_path):
    def write(**facts):
        folder = tmp_path / "index"
        folder.mkdir()
        (folder / "manifest.json").write_text("{}")
        whole = {"items": 1234, "dim": 16, "faiss": "1.15.1", "exact": False, **facts}
        (folder / "index.json").write_text(json.dumps(whole))
        return read_index_choice(RunFolder(tmp_path))

    return write


def test_the_front_is_drawn_and_the_choice_marked(choice):
    measured = {
        "validation": {"mean": 0.97, "low": 0.96, "queries": 100},
        "fresh": {"mean": 0.968, "low": 0.955, "queries": 90},
        "latency_ms": 0.1, "queries_per_second": 20_000, "threads": 2, "bytes": 2_000_000,
        "exact": {"bytes": 8_000_000, "latency_ms": 3.0, "queries_per_second": 700},
    }  # fmt: skip
    found = choice(promise={**PROMISE, **FRONT[0], **measured})
    assert not found.exact
    assert [row[-1] for row in found.figure.table.rows] == ["chosen", ""]
    assert found.terms["Promise"] == "recall@20 of 0.95, tuned for latency"
    assert found.terms["Recall, test window"] == "0.9680, surely 0.9550, on 90 requests"
    assert found.terms["One request"] == "0.100 ms; exact search 3.000 ms"
    traces = json.loads(str(found.figure.plot))["data"]
    assert [trace["name"] for trace in traces] == ["exact", "IVF, a byte a number", "chosen"]
    assert traces[2]["x"] == [0.97]


def test_exact_search_that_won_is_the_choice(choice):
    exact = {"exact": {"bytes": 8_000_000, "latency_ms": 3.0}}
    found = choice(promise={**PROMISE, "family": "flat", "structure": "Flat", **exact}, exact=True)
    assert found.exact
    assert [row[-1] for row in found.figure.table.rows] == ["", "chosen"]
    assert found.terms["One request"] == "3.000 ms"


def test_a_small_catalogue_has_no_front_and_a_reason(choice):
    told = {**PROMISE, "family": "flat", "structure": "Flat", "why": "it is quick"}
    del told["front"]
    found = choice(promise=told, exact=True)
    assert (found.figure, found.why) == (None, "it is quick")


def test_an_index_without_a_promise_is_not_spoken_of(choice):
    assert choice(exact=True) is None
