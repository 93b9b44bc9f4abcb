import pytest

from pipeline.cards.markdown import interval, share, table
from pipeline.cards.model_card import model_card

FACTS = {
    "name": "a | shop",
    "mercato": "1",
    "git_commit": "",
    "settings": {"sources": ["vectors", "popularity"]},
    "models": {
        "text": {"dim": 8, "max_tokens": 9},
        "user": {"dim": 16, "length": 20},
        "reranker": None,
    },
}
GATE = {"shipped": False, "reason": "no gain", "requests": 20, "users": 10}


def measure(value):
    return {"ndcg@10": {"value": value, "low": value - 0.1, "high": value + 0.1}}


@pytest.fixture
def metrics():
    both = {name: measure(0.3) | {"recall@10": {"value": 0.4, "low": 0.3, "high": 0.5}} for name in ("mercato", "knn")}
    return {
        "dataset": "a shop",
        "split": "time",
        "targets": {"purchase": 1.0},
        "window": {"from": "2026-01-01", "until": "2026-01-08"},
        "filter_seen": False,
        "repeats": "allowed",
        "requests": 40,
        "users": 30,
        "items": 90,
        "catalogue": 45,
        "seed": 1,
        "hardware": "a machine",
        "intervals": {"confidence": 0.95, "resamples": 20},
        "systems": both,
        "paired": {},
        "segments": {
            "user: new": {"mercato": measure(0.2), "knn": measure(0.25)},
            "item: cold": {"mercato": measure(0.0), "knn": measure(0.0)},
            "user: returning": {"mercato": measure(0.4), "knn": measure(0.3)},
        },
        "segment_sizes": {
            name: {"requests": 10, "users": 8} for name in ("user: new", "item: cold", "user: returning")
        },
        "warnings": ["too good to be true"],
        "intent": None,
    }


def test_numbers_stand_with_their_intervals(metrics):
    card = model_card(FACTS, metrics, GATE, [], [])
    assert "| mercato | 0.3000 (0.2000 to 0.4000) | 0.4000 (0.3000 to 0.5000) |" in card
    assert "| user: new | 10 | 8 | 0.2000 (0.1000 to 0.3000) |" in card
    assert "40 requests of 30 users" in card


def test_limits_are_those_of_the_measurement(metrics):
    limits = model_card(FACTS, metrics, GATE, [], []).partition("## Limits")[2]
    assert "- too good to be true" in limits
    assert "Nothing relevant was shown in the first places in: `item: cold`." in limits
    assert "`user: new` (knn 0.2500, mercato 0.2000)" in limits
    assert "user: returning" not in limits
    assert "25.0% of the test requests (10) chose an item that nobody had met" in limits
    assert "50.0% of 90 items could be shown" in limits


def test_gate_index_and_what_was_not_tested_are_told(metrics):
    card = model_card(FACTS, metrics, GATE, ["90 items; exact"], ["Search: nobody searched."])
    assert "It does not ship: no gain (20 requests of 10 users, none tested on)." in card
    assert "- 90 items; exact" in card
    assert card.endswith("- Search: nobody searched.\n")


def test_without_a_log_there_are_no_numbers():
    models = FACTS["models"] | {"user": None}
    card = model_card({**FACTS, "models": models}, {}, None, [], ["Everything."])
    assert "Unpersonalised" in card
    assert "## Measured" not in card
    assert "## Reranker" not in card


def test_what_would_break_a_table_is_escaped_and_what_is_missing_dashed():
    assert table(("a", "b"), [("x | y\nz", "1")])[2] == "| x \\| y z | 1 |"
    assert interval(None) == interval({"value": None}) == "-"
    assert share(1, 0) == "-"


def test_it_says_which_graphs_ship_in_which_precision_and_why(metrics):
    assert "Precision of the graphs" not in model_card(FACTS, metrics, GATE, [], [])
    text = {**FACTS["models"]["text"], "precision": "int8", "why": "2.1 times as fast"}
    card = model_card({**FACTS, "models": {**FACTS["models"], "text": text}}, metrics, GATE, [], [])
    assert "- text_encoder.onnx: int8; 2.1 times as fast." in card
