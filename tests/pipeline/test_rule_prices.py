from dataclasses import replace

import numpy as np
import pytest

from commerce.metrics import Relevant
from pipeline.report.rules import read_prices
from pipeline.rule_prices import price_lines, rule_prices
from ranking.after import Rules, arrange

NONE = np.empty(0, dtype=np.int32)
RULES = Rules(
    top=2,
    diversity=0.0,
    per_category=1,
    category=np.array([0, 0, 1], dtype=np.int32),
    pinned=NONE,
    places=NONE,
    boosted=NONE,
    boosts=NONE.astype(np.float32),
    suppressed=np.array([3], dtype=np.int32),
    floors=np.zeros(0),
    group=np.full(3, -1, dtype=np.int32),
    category_names=np.array(["tea", "cup"]),
    group_names=np.array([], dtype=np.str_),
)
BEFORE = np.array([[0, 1, 2], [0, 1, 2]], dtype=np.int32)
RELEVANT = Relevant(np.array([0, 1, 2]), np.array([1, 1], dtype=np.int32), np.ones(2, dtype=np.float32))
SPREAD = {"resamples": 50, "confidence": 0.95, "seed": 0}


def arranged(rules):
    scores = np.tile(np.float32([3, 2, 1]), (2, 1))
    return arrange(BEFORE, scores, rules, np.eye(3, dtype=np.float32), np.zeros((2, 0), bool)).items


def test_a_cap_costs_what_it_moves_down():
    # The chosen item falls from place 2 to place 3 in both lists: 1 / log2(4) - 1 / log2(3).
    found = rule_prices(RULES, arranged, BEFORE, None, RELEVANT, np.array([0, 1]), **SPREAD)
    assert found["prices"]["categories"]["value"] == pytest.approx(1 / 2 - 1 / np.log2(3))
    assert found["prices"]["all"] == found["prices"]["categories"]
    assert found["prices"]["suppressed"]["value"] == 0, "the hidden item was in no list"
    assert found["made_of"] == {"variety": pytest.approx(2 / 3)}
    assert "  categories         -0.1309 [-0.1309, -0.1309]; variety 0.667 instead of 0.667" in price_lines(found)
    assert [row.name for row in read_prices({"after": found}).rows] == [
        "all rules together",
        "categories",
        "suppressed",
    ]


def test_an_order_by_value_has_its_price_beside_the_rules():
    none = replace(RULES, per_category=0, suppressed=NONE)
    valued = np.array([[1, 0, 2], [1, 0, 2]], dtype=np.int32)
    found = rule_prices(none, lambda rules: valued, BEFORE, BEFORE, RELEVANT, np.array([0, 1]), **SPREAD)
    # The chosen item rises from place 2 to place 1.
    assert found["prices"]["value"]["value"] == pytest.approx(1 - 1 / np.log2(3))
    assert found["prices"]["all"] == found["prices"]["value"]


def test_without_rules_there_is_no_price():
    none = replace(RULES, per_category=0, suppressed=NONE)
    assert rule_prices(none, arranged, BEFORE, None, RELEVANT, np.array([0, 1]), **SPREAD) is None
    assert price_lines(None) == []
    assert read_prices({}) is None
