from math import log

import numpy as np
import pytest

from commerce.intent_measures import class_prior, intent_block, last_action_rule, last_actions, log_loss, macro_f1

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
    block = intent_block(
        np.array([[0.1, 0.1, 0.8], [0.9, 0.1, 0.0]]),
        np.array([BUY, -1]),
        np.array([PURCHASE, VIEW]),
        np.array([BUY, -1, BROWSE]),
        np.array([PURCHASE, VIEW, VIEW]),
    )
    assert block is not None
    assert block["requests"] == 1
    assert block["head"] == {"macro_f1": 1.0, "log_loss": pytest.approx(-log(0.8), abs=1e-6)}
    assert block["class_prior"]["log_loss"] == pytest.approx(-log(2 / 5), abs=1e-6)


def test_without_labels_there_is_nothing_to_say():
    nothing = np.array([-1])
    assert intent_block(np.full((1, 3), 1 / 3), nothing, np.array([VIEW]), nothing, np.array([VIEW])) is None
