"""Which precision ships: the rule on figures, the figures on graphs, the bundle that comes of it."""

import numpy as np
import pytest

from configs.schema import ExportConfig
from pipeline.precision import Shipped, decide, measure, seconds_each, told
from pipeline.precision_trials import Trial

RULE = ExportConfig()


def figures(speed=2.0, fp32=0.400, int8=0.399):
    return {"speed": speed, "measure": "recall@10", "requests": 300, "fp32": fp32, "int8": int8}


@pytest.mark.parametrize(
    ("found", "precision"),
    [
        (figures(), "int8"),  # loses a quarter of a percent
        (figures(speed=1.7, int8=0.3981), "int8"),  # just within both bounds
        (figures(speed=1.69), "fp32"),
        (figures(int8=0.3979), "fp32"),  # loses .525%
        (figures(int8=0.5), "int8"),  # better by luck is no loss
        (figures(fp32=0.0, int8=0.0), "fp32"),  # nothing was found, so nothing is known
        ({"speed": 3.0}, "fp32"),  # no requests
        (figures() | {"requests": 49}, "fp32"),  # too few
    ],
)
def test_int8_ships_only_if_it_is_fast_and_loses_little(found, precision):
    choice = decide(found, RULE)
    assert choice.precision == precision
    assert f"{found['speed']:.2f} times as fast" in choice.why
    assert decide(found, ExportConfig(precision="int8")).precision == "int8"


def test_the_choice_says_why():
    assert decide(figures(speed=1.2, int8=0.38), RULE).why == (
        "int8 is 1.20 times as fast, 1.7 are asked for, and loses 5.00% of recall@10 on 300 requests, 0.50% are allowed"
    )
    assert "3.00 times as fast, but 0 requests of the gate's half can tell" in decide({"speed": 3.0}, RULE).why
    assert decide({}, RULE).precision == "fp32"
    assert decide({}, ExportConfig(precision="int8")).precision == "int8"
    chosen = decide(figures(), RULE).as_json()
    assert told({"text": chosen, "user": None, "reranker": None}) == [f"text_encoder.onnx: int8; {chosen['why']}"]


def test_what_is_measured_is_paired_by_request_and_resampled_by_user(monkeypatch):
    monkeypatch.setattr("pipeline.precision.seconds_each", lambda calls: [0.004, 0.002, 0.008])
    values = np.array([1.0, 0.5, 0.0, 1.0]), np.array([1.0, 0.5, 0.0, 0.0])
    calls = dict.fromkeys(("fp32", "int8", "torch"), lambda number: None)
    trial = Trial(
        "text",
        calls,
        np.array([0.99, 1.0]),
        {"fp32": 40, "int8": 10},
        "recall@10",
        values,
        np.arange(4),
        overlap=0.9,
    )
    found = measure(trial, seed=0)
    assert found["speed"] == 2.0
    assert found["milliseconds"] == {"fp32": 4.0, "int8": 2.0, "torch": 8.0}
    assert found["cosine"] == {"lowest": 0.99, "mean": 0.995}
    assert (found["fp32"], found["int8"]) == (0.625, 0.375)
    assert found["difference"]["value"] == -0.25
    assert found["difference"]["low"] < -0.25 < found["difference"]["high"] <= 0
    assert found["overlap@10"] == 0.9
    assert "measure" not in measure(Trial("text", calls, np.ones(1), {}), seed=0)


def test_calls_are_told_apart_by_the_time_they_take():
    def work(times):
        return lambda number: sum(range(times * 2000))

    slow, fast = seconds_each([work(8), work(1)], rounds=3)
    assert slow > 2 * fast


def test_golden_answers_come_from_torch_where_the_graph_is_fp32_and_from_the_graph_where_it_is_int8():
    class Says:
        def __init__(self, name):
            self.encode = lambda texts: f"{name} text"
            self.users = lambda inputs: f"{name} user"
            self.score = lambda *_: f"{name} reranker"

    facts = {"text": {"precision": "int8"}, "user": {"precision": "fp32"}, "reranker": None, "item": {}}
    shipped = Shipped(Says("torch"), Says("graph"), facts)
    assert shipped.encode([]) == "graph text"
    assert shipped.users(None) == "torch user"
    assert shipped.score("", None, None, None) == "torch reranker"
