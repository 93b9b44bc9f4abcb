from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
import torch

from commerce.columns import ACTION_CODES, NO_ITEM, NO_QUERY
from commerce.histories import Histories
from commerce.records import Requests
from configs.schema import TowersConfig
from towers.batches import BatchMaker
from towers.catalogue import Catalogue, UserFeatures
from towers.data import TowerData
from towers.item import ItemInputs
from towers.masks import Equivalents
from towers.module import Shape, TwoTower
from towers.pool import PoolPlan, popularity_chances
from towers.targets import Targets
from towers.validation import AskedBatches
from towers.windows import WindowPlan

HOUR = 3_600 * 1_000_000


@pytest.fixture(scope="session")
def lay():
    """Return a function: per user, events as (hour, action, item) or (hour, "search", query code) -> Histories."""

    def _lay(*users):
        rows = [event for events in users for event in events]
        searched = [action == "search" for _, action, _ in rows]
        return Histories(
            offsets=np.cumsum([0, *map(len, users)]).astype(np.int64),
            item=np.array([NO_ITEM if s else i for (_, _, i), s in zip(rows, searched, strict=True)], dtype=np.int32),
            action=np.array([ACTION_CODES[action] for _, action, _ in rows], dtype=np.uint8),
            time=np.array([int(hour * HOUR) for hour, _, _ in rows], dtype=np.int64),
            query=np.array([i if s else NO_QUERY for (_, _, i), s in zip(rows, searched, strict=True)], dtype=np.int32),
            session=np.zeros(len(rows), dtype=np.int64),
        )

    return _lay


@pytest.fixture
def small(lay):
    """Return a function: overrides of the settings -> (module, data, settings) of a shop of 30 users, 20 items."""
    return lambda **changes: _small(lay, **changes)


def _small(lay, **changes):
    random = np.random.default_rng(0)
    users = []
    for _ in range(30):
        hours = np.sort(random.integers(0, 40, random.integers(2, 14)))
        # Habit: the item after item i is i + 1.
        start = int(random.integers(0, 20))
        users.append([(int(hour), "purchase", (start + n) % 20) for n, hour in enumerate(hours)])
    histories = lay(*users)
    cuts = histories.offsets[1:] - 1  # the last purchase is to be foretold
    settings = replace(_SMALL, **changes)
    targets = Targets.of(histories, cuts, {"purchase": 1.0})
    exact = settings.negatives == "all"
    nothing = np.zeros(0, dtype=np.int64)
    shares = targets.shares(20, histories, histories.offsets[:-1], cuts)
    chances = popularity_chances(shares, settings.popular_power)
    pool = PoolPlan(20, exact, settings.pool_targets, settings.uniform_negatives, settings.popular_negatives, chances)
    plan = WindowPlan(
        np.unique(targets.user), histories.offsets[np.unique(targets.user)], cuts[np.unique(targets.user)], 8, 10, 0
    )
    maker = BatchMaker(histories, targets, Equivalents.of(nothing, nothing, 20), pool)
    data = TowerData(plan, maker, AskedBatches(_requests(histories, cuts), histories, 8, batch=16))
    module = small_module(settings, shares, chances)
    module.attach(module.facts, steps=plan.steps * settings.max_epochs)
    return module, data, settings


_SMALL = TowersConfig(
    dim=8,
    layers=1,
    heads=2,
    history_length=8,
    dropout=0.2,
    id_min_events=1,
    negatives="pool",
    uniform_negatives=6,
    pool_targets=6,
    max_epochs=3,
    checkpoint_steps=1,
    learning_rate=0.01,
    accelerator="cpu",
)


def small_module(settings, shares, chances):
    """Towers over 20 items with a text vector of 4, one category, one number and a given vector of 3."""
    shape = Shape(4, 20, 15, [3], 1, 3, [2], 1)
    generator = torch.Generator().manual_seed(3)
    module = TwoTower(asdict(shape), asdict(settings))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
        module.log_scale.fill_(2.0)
    random = partial(torch.randn, generator=generator)
    items = ItemInputs(
        random(20, 4),
        torch.randint(3, (20, 1), generator=generator),
        random(20, 1),
        torch.ones(20, 1),
        random(20, 3),
        (torch.arange(20) % 2).float(),
        torch.clamp(torch.arange(20) - 4, min=0),
        torch.linspace(-1, 1, 20),
    )
    users = UserFeatures(torch.zeros(30, 1, dtype=torch.int64), torch.zeros(30, 1), torch.zeros(30, 1))
    extremes = torch.iinfo(torch.int64)
    module.attach(
        Catalogue(
            items,
            random(2, 4),
            users,
            torch.from_numpy(shares),
            torch.from_numpy(chances),
            torch.full((20,), extremes.min),
            torch.full((20,), extremes.max),
        )
    )
    return module


def _requests(histories, ends):
    size = histories.users
    none = np.full(size, -1, dtype=np.int64)
    return Requests(
        request_id=np.arange(size),
        window=np.full(size, "validation"),
        half=np.full(size, "fit"),
        user=np.arange(size, dtype=np.int32),
        time=histories.time[ends],
        history_end=ends,
        query=none.astype(np.int32),
        session=none,
        intent=none.astype(np.int8),
        offsets=np.arange(size + 1),
        items=histories.item[ends],
        gains=np.ones(size, dtype=np.float32),
    )
