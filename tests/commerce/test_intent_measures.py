from math import log

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commerce.intent_measures import (
    auroc,
    class_prior,
    intent_block,
    intent_differences,
    intent_measures,
    last_action_rule,
    last_actions,
    log_loss,
    macro_f1,
    plain_rules,
)

BROWSE, COMPARE, BUY = 0, 1, 2
VIEW, PURCHASE, NOTHING = 2, 5, 6


def test_macro_f1_by_hand():
    # browse: 1 hit of 2 labelled and 1 guessed, 2/3; compare: 0 of 1 and 1; buy: 1 of 1 and 2, 2/3.
    labels = np.array([BROWSE, BROWSE, COMPARE, BUY])
    guesses = np.array([BROWSE, BUY, BUY, BUY])
    assert macro_f1(labels, guesses) == pytest.approx((2 / 3 + 0 + 1 / 2) / 3)


def test_an_intent_that_nobody_has_or_guesses_does_not_enter():
    assert macro_f1(np.array([BROWSE, BUY]), np.array([BROWSE, BUY])) == 1


def test_log_loss_is_in_nats():
    assert log_loss(np.array([BUY]), np.array([[0.25, 0.25, 0.5]])) == pytest.approx(log(2))


def test_certainty_of_the_wrong_intent_costs_much_but_not_everything():
    assert log_loss(np.array([BUY]), np.array([[1.0, 0.0, 0.0]])) == pytest.approx(7 * log(10))


def test_the_class_prior_adds_one_to_each_count():
    assert class_prior(np.array([BROWSE, BROWSE, BUY])) == pytest.approx([3 / 6, 1 / 6, 2 / 6])


def test_the_rule_shrinks_to_the_prior():
    labels, actions = np.array([BROWSE, BUY, BUY]), np.array([VIEW, PURCHASE, PURCHASE])
    rule, prior = last_action_rule(labels, actions), class_prior(labels)
    assert rule[PURCHASE] == pytest.approx((prior + np.array([0, 0, 2])) / 3)
    assert rule[NOTHING] == pytest.approx(prior)


def test_the_last_action_is_the_last_visible_one():
    actions = np.array([VIEW, PURCHASE, VIEW], np.uint8)
    assert last_actions(actions, np.array([0, 0, 2]), np.array([2, 1, 2])).tolist() == [PURCHASE, VIEW, NOTHING]


def test_only_labelled_requests_are_measured():
    labels, learnt = np.array([BUY, -1]), np.array([BUY, -1, BROWSE])
    rules = plain_rules(np.array([PURCHASE, VIEW]), learnt, np.array([PURCHASE, VIEW, VIEW]))
    assert rules is not None
    block = intent_block(
        {"head": np.array([[0.1, 0.1, 0.8], [0.9, 0.1, 0.0]]), **rules},
        labels,
        np.array([7, 8]),
        resamples=20,
        confidence=0.95,
        seed=0,
    )
    assert block is not None
    assert block["requests"] == 1
    assert block["head"]["macro_f1"] == 1
    assert block["head"]["log_loss"] == pytest.approx(-log(0.8), abs=1e-6)
    assert block["class_prior"]["log_loss"] == pytest.approx(-log(2 / 5), abs=1e-6)
    assert set(block["paired"]) == {"head - class_prior", "head - last_action"}
    assert block["paired"]["head - class_prior"]["log_loss"]["value"] == pytest.approx(log(2 / 5 / 0.8), abs=1e-6)


def test_without_labels_there_is_nothing_to_say():
    nothing = np.array([-1])
    assert plain_rules(np.array([VIEW]), nothing, np.array([VIEW])) is None
    assert intent_block({"head": np.full((1, 3), 1 / 3)}, nothing, nothing, resamples=9, confidence=0.9, seed=0) is None


def test_auroc_counts_pairs_and_ties_half():
    happened = np.array([True, True, False, False])
    # Of four pairs, .9 beats both, .4 beats .1 and ties with the other .4.
    assert auroc(happened, np.array([0.9, 0.4, 0.4, 0.1])) == pytest.approx(3.5 / 4)
    assert np.isnan(auroc(np.array([True, True]), np.array([0.1, 0.2])))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(
    scores=st.lists(st.integers(0, 5), min_size=2, max_size=30),
    seed=st.integers(0, 99),
)
def test_auroc_is_the_share_of_pairs_in_order(scores, seed):
    happened = np.random.default_rng(seed).random(len(scores)) < 0.5
    scores = np.array(scores, dtype=float)
    pairs = [(a > b) + (a == b) / 2 for a in scores[happened] for b in scores[~happened]]
    expected = np.mean(pairs) if pairs else np.nan
    assert auroc(happened, scores) == pytest.approx(expected, nan_ok=True)


def test_the_calibration_error_is_the_mean_over_intents():
    # All is said to be buy for certain, and half of it is: compare never is, so its error is 0; the others' one half.
    labels = np.array([BUY, BROWSE])
    found = intent_measures(labels, np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]))
    assert found["calibration_error"] == pytest.approx((0.5 + 0 + 0.5) / 3, abs=1e-6)
    assert found["auroc_buy"] == 0.5
    assert "auroc_compare" not in found  # it never happened


def test_differences_are_paired_over_users():
    labels = np.tile([BROWSE, COMPARE, BUY], 40)
    users = np.repeat(np.arange(40), 3)
    sure = np.eye(3)[labels] * 0.9 + 0.1 / 3
    settings = {"resamples": 200, "confidence": 0.95, "seed": 1}
    same = intent_differences(labels, sure, sure, users, **settings)
    assert set(same["macro_f1"].values()) == {0.0}
    found = intent_differences(labels, sure, np.full((120, 3), 1 / 3), users, **settings)
    # Equal chances are decided as browse: one intent's F1 is 2/4, the others' 0. Every user is alike: no spread.
    assert found["macro_f1"] == pytest.approx({"value": 1 - 0.5 / 3, "low": 1 - 0.5 / 3, "high": 1 - 0.5 / 3}, abs=1e-6)
    assert found["log_loss"]["value"] == pytest.approx(log(1 / 3) - log(0.9 + 0.1 / 3), abs=1e-6)
    assert found["auroc_buy"]["value"] == pytest.approx(0.5)


def test_an_interval_is_as_wide_as_luck_among_users():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 600)
    right = random.random(600) < 0.7
    given = np.where(right[:, None], np.eye(3)[labels], 1 / 3) * 0.8 + 0.2 / 3
    found = intent_differences(
        labels, given, np.full((600, 3), 1 / 3), np.arange(600), resamples=400, confidence=0.95, seed=0
    )
    surprise = -np.log(given[np.arange(600), labels])
    assert (found["log_loss"]["high"] - found["log_loss"]["low"]) / 2 == pytest.approx(
        1.96 * surprise.std() / 600**0.5, rel=0.15
    )
