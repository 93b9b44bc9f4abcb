"""Switching a habit off moves its own statistic to what chance gives, and no other one."""

from dataclasses import fields, replace

import numpy as np
import pytest

from commerce.bazaar.habits import HABITS
from commerce.bazaar.whole import open_shop
from configs.schema import BazaarConfig

SHOP = BazaarConfig(users=400, items=800)
OFF_BY_DEFAULT = {"intent_tastes": 0.5}
"""Habits that the default shop lacks, and the strength at which they are looked at."""
CHANCE = {
    "funnel": 0.25,  # the next session may open in the same category anyway
    "queries": 0.1,  # one in forty categories
    "complements": 0.1,
    "user_features": 0.5,  # a correlation of forty numbers
    "fraud_bursts": 3.0,  # purchases of one item in one hour
}
"""What a statistic stays below when its habit is off; elsewhere within noise of 0."""
NOISE = 5.0
"""Standard deviations over seeds that another statistic may move. The shops differ in thousands of choices, so a
difference has 1.4 standard deviations of its own, and 420 of them are looked at."""


def measure(config):
    shop = open_shop(config)
    return {name: statistic(shop) for name, statistic in HABITS.items()}


@pytest.fixture(scope="module")
def on():
    return measure(SHOP)


@pytest.fixture(scope="module")
def noise():
    seeds = [measure(replace(SHOP, seed=seed)) for seed in (1, 2, 3, 4)]
    return {name: float(np.std([found[name] for found in seeds], ddof=1)) for name in HABITS}


def test_every_strength_in_the_config_has_a_statistic():
    sizes = {"users", "items", "days", "seed", "sessions_per_user", "list_length", "shuffle_ids"}
    assert {field.name for field in fields(BazaarConfig)} - sizes == set(HABITS)


@pytest.mark.parametrize("habit", HABITS)
def test_switching_a_habit_off_moves_only_its_own_statistic(habit, on, noise):
    if habit in OFF_BY_DEFAULT:
        on, off = measure(replace(SHOP, **{habit: OFF_BY_DEFAULT[habit]})), on
    else:
        off = measure(replace(SHOP, **{habit: type(getattr(SHOP, habit))(0)}))
    moved = {name: abs(off[name] - on[name]) / noise[name] for name in HABITS if name != habit}
    assert {name: round(by, 1) for name, by in moved.items() if by > NOISE} == {}
    assert off[habit] < CHANCE.get(habit, 5 * noise[habit])
    assert on[habit] - off[habit] > 3 * noise[habit]
