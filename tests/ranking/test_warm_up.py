import copy

import torch

from ranking.warm_up import fit_numbers


def lesson():
    features = torch.randn(200, 4, 2, generator=torch.Generator().manual_seed(0))
    gains = torch.nn.functional.one_hot(features[..., 1].argmax(dim=1), 4).float()
    return features, torch.full((200, 3), 1 / 3), gains, torch.ones(200, 4, dtype=torch.bool)


def test_the_heads_learn_which_number_tells(ranker):
    features, intent, gains, kept = lesson()
    loss = fit_numbers(
        ranker.cross_encoder.heads, features, intent, gains, kept, steps=150, learning_rate=0.02, weight_decay=0.0
    )
    with torch.no_grad():
        found = ranker.cross_encoder.heads.eval()(None, features, intent[:, None]).argmax(dim=1)
    assert loss < 0.3
    assert (found == gains.argmax(dim=1)).float().mean() > 0.95


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
