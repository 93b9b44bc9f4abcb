import json

import numpy as np
import pytest

from ranking.logistic import sigmoid
from ranking.probabilities import SHOWN, Probabilities, feature_names, list_features
from ranking.value import expected_value, order_by_value

NAMES = ("merit",)


def logged(rows=40_000, seed=0):
    """Items of a merit, at places dealt with regard to it, viewed the less the lower they stand."""
    draw = np.random.default_rng(seed)
    merit = draw.standard_normal(rows)
    position = np.clip((2 - merit + draw.standard_normal(rows)).astype(int), 0, 4)
    happened = draw.random(rows) < sigmoid(merit - 1.0 - 0.7 * position)
    return merit[:, None].astype(np.float32), position, happened[:, None]


def test_a_positions_luck_is_not_taken_for_an_items_merit():
    features, position, happened = logged()
    known = Probabilities.fit(SHOWN, ["view"], NAMES, features, position, happened)
    blind = Probabilities.fit(SHOWN, ["view"], NAMES, features, np.full(len(features), -1), happened)
    assert known.weights[0][0] / known.scale[0] == pytest.approx(1.0, abs=0.05)
    assert blind.weights[0][0] / blind.scale[0] > 1.3, "without positions, merit takes their credit"
    steps = np.diff(known.positions[0])
    np.testing.assert_allclose(steps, -0.7, atol=0.1)


def test_what_is_told_is_the_mean_over_the_logs_positions():
    features, position, happened = logged()
    model = Probabilities.fit(SHOWN, ["view"], NAMES, features, position, happened)
    one = features[:1]
    by_place = [model.followed(one, np.array([place]))[0, 0] for place in range(5)]
    assert model.followed(one)[0, 0] == pytest.approx(np.dot(by_place, model.position_share))
    assert model.followed(features, position).mean() == pytest.approx(happened.mean(), abs=1e-3)


def test_lists_that_nothing_followed_are_put_back():
    features, position, happened = logged(500)
    model = Probabilities.fit(
        SHOWN, ["view"], NAMES, features, position, happened, kept=(0.5, 1.0), missed=np.array([[0.1], [0.0]])
    )
    followed = model.followed(features)
    np.testing.assert_allclose(model.of(features, query=False), 0.5 * followed + 0.05)
    np.testing.assert_allclose(model.of(features, query=True), followed)


def test_a_model_is_json():
    features, position, happened = logged(500)
    model = Probabilities.fit(SHOWN, ["view"], NAMES, features, position, happened)
    again = Probabilities.from_json({**json.loads(model.to_json()), "judged": {}})
    assert again == model


def test_features_follow_the_item_wherever_the_order_puts_it():
    items = np.array([[7, 3, 5, -1]], dtype=np.int32)
    ordered = np.array([[5, 7, 3, -1]], dtype=np.int32)
    scores = np.float32([[3, 2, 1, -np.inf]])
    rank = np.array([[[0], [-1], [4], [-1]]], dtype=np.int32)
    score = np.array([[[2.0], [0], [-1], [0]]], dtype=np.float32)
    found = list_features(items, ordered, scores, rank, score, np.float32([[0.2, 0.3, 0.5]]), np.array([True]))
    table = dict(zip(feature_names(["vectors"]), found[0].T, strict=True))
    np.testing.assert_allclose(table["place"], [1 / np.log2(3), 0.5, 1.0, 0.0])
    np.testing.assert_allclose(table["score"], [0.0, -1.2247, 1.2247, 0.0], atol=1e-4)
    np.testing.assert_allclose(table["vectors_found"], [1, 0, 1, 0])
    np.testing.assert_allclose(table["vectors_place"], [1, 0, 1 / np.log2(6), 0])
    np.testing.assert_allclose(table["vectors_score"], [np.log(3), 0, -np.log(2), 0], atol=1e-6)
    np.testing.assert_allclose(table["buy_place"], 0.5 * table["place"])
    assert table["query"].tolist() == [1, 1, 1, 0]


def model_of(actions):
    zeros = [[0.0]] * len(actions)
    return Probabilities(
        SHOWN, list(actions), ["x"], [0.0], [1.0], zeros, [0.0] * len(actions), zeros, [1.0], [1, 1], [[0.0]] * 2
    )


def test_expected_values_are_chance_times_worth():
    model = model_of(["view", "purchase"])
    chance = np.array([[[0.5, 0.1], [0.4, 0.2], [0.3, 0.3]]])
    worth = np.array([[10.0, np.nan, 30.0]])
    assert expected_value("purchase", chance, model, worth).tolist() == [[0.1, 0.2, 0.3]]
    np.testing.assert_allclose(expected_value("revenue", chance, model, worth), [[1.0, 0.2 * 20, 9.0]])
    np.testing.assert_allclose(expected_value("bid", chance, model, worth), [[5.0, 0.0, 9.0]])


def test_only_the_head_is_put_in_the_order_of_value():
    items = np.array([[4, 5, 6, 7]], dtype=np.int32)
    found, scores = order_by_value(items, np.float32([[4, 3, 2, 1]]), np.array([[1.0, 3.0, 2.0, 9.0]]), 3)
    assert found.tolist() == [[5, 6, 4, 7]]
    assert scores[0, :3].tolist() == [3.0, 2.0, 1.0]
    assert scores[0, 3] < 1.0
