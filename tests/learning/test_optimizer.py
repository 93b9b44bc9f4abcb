import pytest
import torch
from torch import nn

from learning.optimizer import decays, parameter_groups, warmup_cosine


class _Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 3)
        self.norm = nn.LayerNorm(3)
        self.table = nn.Embedding(4, 3)
        self.temperature = nn.Parameter(torch.zeros(()))
        self.start = nn.Parameter(torch.zeros(3))
        self.encoder = nn.Linear(3, 3)


def test_bias_norms_and_single_numbers_do_not_decay():
    assert decays(_Model()) == {
        "temperature": False,
        "start": False,
        "linear.weight": True,
        "linear.bias": False,
        "norm.weight": False,
        "norm.bias": False,
        "table.weight": True,
        "encoder.weight": True,
        "encoder.bias": False,
    }


def test_frozen_parameters_are_in_no_group():
    model = _Model()
    model.encoder.requires_grad_(False)
    assert not any(name.startswith("encoder") for name in decays(model))


def test_every_parameter_is_in_one_group_with_its_own_rate_and_decay():
    model = _Model()
    exempt = ("table.weight",)
    groups = parameter_groups(model, learning_rate=0.1, weight_decay=0.5, rates={"encoder.": 0.01}, exempt=exempt)
    found = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(found) == len(list(model.parameters()))
    assert found[id(model.encoder.weight)] == (0.01, 0.5)
    assert found[id(model.encoder.bias)] == (0.01, 0.0)
    assert found[id(model.linear.weight)] == (0.1, 0.5)
    assert found[id(model.table.weight)] == (0.1, 0.0)


def test_the_rate_rises_in_a_straight_line_and_falls_like_half_a_cosine():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = warmup_cosine(optimizer, steps=12, warmup_share=1 / 3)
    rates = []
    for _ in range(12):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[4] == pytest.approx(1.0)
    assert rates[8] == pytest.approx(0.5)  # half way down
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0)
