from types import SimpleNamespace

import lightning as L
import pytest
import torch

from learning.average import Average


class _Module(L.LightningModule):
    def __init__(self, value):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([value]))
        self.frozen = torch.nn.Parameter(torch.tensor([value]), requires_grad=False)


def _steps(average, module, values, first=1):
    for step, value in enumerate(values, start=first):
        with torch.no_grad():
            module.weight.fill_(value)
        average.on_train_batch_end(SimpleNamespace(global_step=step), module)


def test_the_average_weighs_each_step_by_its_age():
    module, average = _Module(5.0), Average(0.5)
    average.on_train_start(SimpleNamespace(), module)
    _steps(average, module, [1.0, 2.0, 4.0])
    # Ages 2, 1, 0 weigh 1/4, 1/2, 1; the first weights, 5, nothing.
    assert average.average["weight"].item() == pytest.approx((1 / 4 + 2 / 2 + 4) / (1 / 4 + 1 / 2 + 1))
    assert list(average.average) == ["weight"]


def test_after_a_while_every_tenth_step_is_taken_for_ten():
    module, average = _Module(0.0), Average(0.9)
    average.on_train_start(SimpleNamespace(), module)
    _steps(average, module, [1.0] * 100)
    _steps(average, module, [7.0] * 9 + [2.0], first=101)
    old, new = 1 - 0.9**100, 1 - 0.9**10
    expected = (old * 0.9**10 + new * 2.0) / (old * 0.9**10 + new)
    assert average.average["weight"].item() == pytest.approx(expected)


def test_it_is_lent_for_a_validation_and_taken_back():
    module, average = _Module(1.0), Average(0.9)
    average.on_train_start(SimpleNamespace(), module)
    with torch.no_grad():
        module.weight.fill_(3.0)
    average.on_validation_epoch_start(SimpleNamespace(), module)
    assert module.weight.item() == 1.0
    average.on_validation_end(SimpleNamespace(), module)
    assert (module.weight.item(), average.average["weight"].item()) == (3.0, 1.0)


def test_a_validation_cut_off_leaves_the_weights_as_they_were():
    module, average = _Module(1.0), Average(0.9)
    average.on_train_start(SimpleNamespace(), module)
    with torch.no_grad():
        module.weight.fill_(3.0)
    average.on_validation_epoch_start(SimpleNamespace(), module)
    average.on_exception(SimpleNamespace(), module, KeyboardInterrupt())
    assert module.weight.item() == 3.0


def test_it_goes_on_from_its_state():
    module, whole = _Module(0.0), Average(0.99)
    whole.on_train_start(SimpleNamespace(), module)
    _steps(whole, module, [float(step) for step in range(140)])
    module, first, second = _Module(0.0), Average(0.99), Average(0.99)
    first.on_train_start(SimpleNamespace(), module)
    _steps(first, module, [float(step) for step in range(95)])
    second.load_state_dict(first.state_dict())
    second.on_train_start(SimpleNamespace(), module)
    _steps(second, module, [float(step) for step in range(95, 140)], first=96)
    assert torch.equal(whole.average["weight"], second.average["weight"])
