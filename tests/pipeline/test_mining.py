"""Mined negatives hold nothing that their user chose at any time, no equivalent, and nothing that was not on offer."""

from dataclasses import asdict, replace

import numpy as np
import torch

import pipeline.mining
from commerce.columns import ACTION_CODES, NO_QUERY
from commerce.histories import Histories
from configs.schema import TowersConfig
from pipeline.mining import mine_negatives
from towers.catalogue import Catalogue, UserFeatures
from towers.embed import embed_items, embed_users
from towers.item import ItemInputs
from towers.masks import Equivalents
from towers.mined import Mined
from towers.module import Shape, TwoTower
from towers.targets import Targets

USERS, ITEMS, LENGTH = 6, 12, 4
SETTINGS = TowersConfig(dim=8, layers=1, heads=1, history_length=LENGTH, mined_negatives=3, mined_depth=ITEMS)
ALWAYS = torch.iinfo(torch.int64)


def _shop():
    """Six users buy four of twelve items each, at hours 10, 20, 30 and 40."""
    random = np.random.default_rng(0)
    size = USERS * LENGTH
    return Histories(
        offsets=np.arange(0, size + 1, LENGTH),
        item=np.concatenate([random.choice(ITEMS, LENGTH, replace=False) for _ in range(USERS)]).astype(np.int32),
        action=np.full(size, ACTION_CODES["purchase"], dtype=np.uint8),
        time=np.tile(np.arange(10, 50, 10), USERS).astype(np.int64),
        query=np.full(size, NO_QUERY, dtype=np.int32),
        session=np.zeros(size, dtype=np.int64),
    )


def _towers(since):
    torch.manual_seed(0)
    module = TwoTower(asdict(Shape(4, ITEMS, 0, [], 0, 0, [], 0)), asdict(SETTINGS))
    none = torch.zeros(ITEMS, 0)
    items = ItemInputs(
        torch.randn(ITEMS, 4),
        none.long(),
        none,
        none,
        none,
        torch.zeros(ITEMS),
        torch.zeros(ITEMS).long(),
        torch.zeros(ITEMS),
    )
    users = UserFeatures(torch.zeros(USERS, 0).long(), torch.zeros(USERS, 0), torch.zeros(USERS, 0))
    nothing = torch.zeros(ITEMS, dtype=torch.float64)
    until = torch.full((ITEMS,), ALWAYS.max)
    module.attach(Catalogue(items, torch.zeros(0, 4), users, nothing, nothing, since, until))
    return module


def _mine(tmp_path, *, margin, targets=None, equivalents=None, most=0, since=None):
    histories = _shop()
    module = _towers(torch.full((ITEMS,), ALWAYS.min) if since is None else since)
    choices = Targets.of(histories, histories.offsets[1:], {"purchase": 1.0})
    targets = targets if targets is not None else choices
    nothing = np.zeros(0, dtype=np.int64)
    equivalents = equivalents or Equivalents.of(nothing, nothing, ITEMS)
    settings = replace(SETTINGS, mined_margin=margin, mined_targets=most)
    file = tmp_path / "mined.parquet"
    said = mine_negatives(module, histories, targets, choices, equivalents, settings, 0, file)
    assert [path.name for path in tmp_path.iterdir()] == ["mined.parquet"]
    return module, histories, targets, Mined.read(file).of(targets.position), said


def _scores(module, histories, targets):
    """Return every item's score at the moment of each target."""
    items = embed_items(module)
    moments = pipeline.mining._moments(histories, targets, np.arange(len(targets)))
    vectors, *_ = embed_users(module, items, pipeline.mining.AskedBatches(moments, histories, LENGTH))
    return vectors @ items.T


def test_negatives_are_the_nearest_items_below_the_target_that_its_user_never_chose(tmp_path):
    module, histories, targets, mined, said = _mine(tmp_path, margin=0.01)
    scores = _scores(module, histories, targets)
    for row, (user, item) in enumerate(zip(targets.user, targets.item, strict=True)):
        ever = set(histories.item[user * LENGTH : (user + 1) * LENGTH].tolist())  # before and after the target
        allowed = [one for one in range(ITEMS) if one not in ever and scores[row, one] <= scores[row, item] - 0.01]
        nearest = sorted(allowed, key=lambda one: -scores[row, one])[:3]
        assert [one for one in mined[row].tolist() if one >= 0] == nearest
    assert said == f"{(mined >= 0).sum()} negatives mined for {(mined[:, 0] >= 0).sum()} of 24 targets"
    assert (mined >= 0).sum() > 24


def test_the_moment_is_just_before_the_target():
    histories = _shop()
    targets = Targets.of(histories, histories.offsets[1:], {"purchase": 1.0})
    moments = pipeline.mining._moments(histories, targets, np.array([0, 3, 5]))
    assert moments.history_end.tolist() == [0, 3, 5]
    assert moments.time.tolist() == [10, 40, 20]


def test_an_equivalent_of_the_target_is_no_negative(tmp_path):
    everything = np.array([(one, other) for one in range(ITEMS) for other in range(6) if one != other])
    same = Equivalents.of(everything[:, 0], everything[:, 1], ITEMS)
    *_, targets, mined, _ = _mine(tmp_path, margin=-2.0, equivalents=same)
    of_later_items = targets.item >= 6
    assert mined[of_later_items].max() >= 6
    assert mined[of_later_items][mined[of_later_items] >= 0].min() >= 6
    assert (mined[~of_later_items] == -1).all()  # equivalent to all


def test_an_item_that_came_later_is_no_negative(tmp_path):
    since = torch.full((ITEMS,), ALWAYS.min)
    since[::2] = 25  # every other item comes between the second and the third purchase
    *_, targets, mined, _ = _mine(tmp_path, margin=-2.0, since=since)
    early = mined[targets.time < 25]
    assert (early[early >= 0] % 2 == 1).all()
    late = mined[targets.time > 25]
    assert (late[late >= 0] % 2 == 0).any()


def test_choices_that_training_leaves_out_are_still_choices(tmp_path):
    histories = _shop()
    last = Targets.of(histories, histories.offsets[1:], {"purchase": 1.0}, since=40)
    *_, targets, mined, _ = _mine(tmp_path, margin=-2.0, targets=last)
    assert len(targets) == USERS
    for user, row in zip(targets.user, mined, strict=True):
        assert not set(row.tolist()) & set(histories.item[user * LENGTH : (user + 1) * LENGTH].tolist())


def test_a_bound_on_targets_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline.mining, "_BLOCK", 2)
    *_, mined, said = _mine(tmp_path, margin=-2.0, most=5)
    assert (mined[:, 0] >= 0).sum() == 5
    assert said == "15 negatives mined for 5 of 5 targets"
