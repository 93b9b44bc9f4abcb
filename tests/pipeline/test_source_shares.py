"""What each source adds: worked out by hand, and on the tiny bazaar read off the candidates that `retrieve` wrote."""

import numpy as np
import pytest

from commerce.candidates import BLEND
from commerce.metrics import Relevant
from commerce.records import Requests, read_table
from pipeline.report.sources import read_sources
from pipeline.source_shares import Replay, found_by
from retrieval.blending import Found


def test_what_one_source_alone_found_is_counted_for_it():
    # Request 0 chose items 3 and 4, both candidates: 3 of source `a` alone, 4 of both. Request 1 chose 3, found by `b`,
    # and 9, which is no candidate.
    found = Found(
        items=np.array([[3, 4, 7], [5, 3, -1]], np.int32),
        scores=np.zeros((2, 3), np.float32),
        sources=("a", "b"),
        ranks=np.array([[[0, -1], [1, 0], [2, -1]], [[0, -1], [-1, 0], [-1, -1]]], np.int32),
        source_scores=np.zeros((2, 3, 2), np.float32),
    )
    relevant = Relevant(np.array([0, 2, 4]), np.array([3, 4, 3, 9], np.int32), np.ones(4, np.float32))
    hits, only = found_by(found, relevant)
    assert (hits, only.tolist()) == (3, [1, 1])


def test_a_source_is_asked_once_unless_more_is_wanted():
    asked = []

    def source(ask, k, allowed):
        asked.append(k)
        return "found"

    again = Replay(source, "this", 5, "before")
    assert again("this", 5, None) == "before"
    assert asked == []
    assert again("this", 10, None) == again("that", 5, None) == "found"
    assert asked == [10, 5]


def test_with_every_source_it_is_the_candidates_and_the_shares_are_those_of_their_sources(tiny_run):
    run, _ = tiny_run
    told = run.metrics()["sources"]
    requests = Requests.read(run.folder / "prepare" / "requests.parquet").of("test")
    assert told["requests"] == len(requests)
    by_request = {int(request): {} for request in requests.request_id}
    for row in read_table("candidates", run.folder / "retrieve" / "test.parquet").to_pylist():
        by_request[row["request_id"]].setdefault(row["item"], set()).add(row["source"])
    hits, alone, found = 0, dict.fromkeys(told["sources"], 0), []
    for place, request in enumerate(requests.request_id):
        chosen = requests.items[requests.offsets[place] : requests.offsets[place + 1]].tolist()
        sources = [by_request[int(request)].get(item, set()) - {BLEND} for item in chosen]
        found.append(np.mean([bool(by) for by in sources]))
        hits += sum(map(bool, sources))
        for by in sources:
            if len(by) == 1:
                alone[next(iter(by))] += 1
    assert told["relevant_found"] == hits
    for name, source in told["sources"].items():
        assert source["only"] == pytest.approx(alone[name] / hits)
        assert source["recall"]["with"] == pytest.approx(np.mean(found))
        assert source["recall"]["value"] == pytest.approx(source["recall"]["with"] - source["recall"]["without"])
        assert source["recall"]["low"] <= source["recall"]["value"] <= source["recall"]["high"]


def test_what_is_lost_is_told_in_words():
    def measured(value, p):
        return {"value": value, "low": value - 0.01, "high": value + 0.01, "p_holm": p}

    def source(recall, p, only):
        return {"weight": 1.0, "only": only, "recall": measured(recall, p), "ndcg": measured(0.0, 1.0)}

    sources = {"vectors": source(0.2, 0.001, 0.5), "tastes": source(0.0, 1.0, 0.0)}
    metrics = {
        "intervals": {"confidence": 0.95},
        "sources": {
            "requests": 9, "users": 8, "candidates": 50, "cut": 10, "relevant_found": 7, "sources": sources
        },
    }  # fmt: skip
    card = read_sources(metrics)
    assert card.sentence.startswith("Most would be lost without vectors: +0.2000 in Recall@50")
    assert "Not seen to help here: tastes." in card.sentence
    assert read_sources({**metrics, "sources": None}) is None
    metrics["sources"]["sources"] = {"tastes": source(0.0, 1.0, 0.0)}
    assert read_sources(metrics).sentence.startswith("No source alone is seen to be missed in Recall@50")
