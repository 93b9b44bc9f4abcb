import copy

import numpy as np
import pytest
import torch

from ranking.batches import Examples
from ranking.pairs import Tokens
from ranking.warm_up import fit_numbers, standardise_numbers

SETTINGS = {"steps": 150, "learning_rate": 0.02, "weight_decay": 0.0}


def lesson(lists=200):
    """Lists whose relevant candidate is the one with the largest second number, and their gains."""
    features = np.random.default_rng(0).normal(size=(lists, 4, 2)).astype(np.float32)
    gains = np.eye(4, dtype=np.float32)[features[..., 1].argmax(axis=1)]
    nothing = Tokens(np.zeros(0, np.int64), np.zeros(lists + 1, np.int64))
    items = np.tile(np.arange(4, dtype=np.int32), (lists, 1))
    return Examples(items, features, np.full((lists, 3), 1 / 3, np.float32), nothing, nothing), gains


def test_the_heads_learn_which_number_tells(ranker):
    examples, gains = lesson()
    loss = fit_numbers(ranker.cross_encoder.heads, examples, gains, **SETTINGS)
    with torch.no_grad():
        parts = (torch.from_numpy(part) for part in (examples.features, examples.intent[:, None]))
        found = ranker.cross_encoder.heads.eval()(None, *parts).argmax(dim=1)
    assert loss < 0.3
    assert (found.numpy() == gains.argmax(axis=1)).mean() > 0.95


def test_the_language_model_stays_as_it_was(ranker):
    before = copy.deepcopy(ranker.state_dict())
    fit_numbers(ranker.cross_encoder.heads, *lesson(), steps=3, learning_rate=0.02, weight_decay=0.1)
    changed = {name for name, value in ranker.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert {name.split(".")[2] for name in changed} == {"numbers", "by_intent", "direct"}


def test_no_steps_change_nothing(ranker):
    before = copy.deepcopy(ranker.state_dict())
    assert fit_numbers(ranker.cross_encoder.heads, *lesson(), steps=0, learning_rate=0.02, weight_decay=0.1) == 0
    assert all(torch.equal(value, before[name]) for name, value in ranker.state_dict().items())


def test_lists_in_blocks_of_uneven_size_teach_what_all_do_at_once(ranker, monkeypatch):
    few = {**SETTINGS, "steps": 20}
    examples, gains = lesson()
    parts = [torch.from_numpy(part) for part in (examples.features, examples.intent[:, None])]
    heads, other = ranker.cross_encoder.heads, copy.deepcopy(ranker.cross_encoder.heads)
    at_once = fit_numbers(other, examples, gains, **few)
    monkeypatch.setattr("ranking.batches._HELD_TOGETHER", 70)
    assert fit_numbers(heads, examples, gains, **few) == pytest.approx(at_once, abs=1e-5)
    with torch.no_grad():
        # What all candidates of a list have in common is nothing that lists teach.
        scores = [one.eval()(None, *parts) for one in (heads, other)]
    assert torch.allclose(*(one - one.mean(dim=1, keepdim=True) for one in scores), atol=1e-3)


def test_mean_and_spread_are_those_of_the_candidates_alone(ranker, monkeypatch):
    monkeypatch.setattr("ranking.batches._HELD_TOGETHER", 2)
    examples, _ = lesson(3)
    examples.items[1, 2:] = -1
    examples.features[1, 2:] = 1e6  # stands for nobody
    standardise_numbers(ranker.cross_encoder.heads, examples)
    told = examples.features[examples.items >= 0]
    assert ranker.cross_encoder.heads.feature_mean.numpy() == pytest.approx(told.mean(axis=0), abs=1e-6)
    assert ranker.cross_encoder.heads.feature_scale.numpy() == pytest.approx(told.std(axis=0), abs=1e-6)
