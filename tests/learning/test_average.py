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


def _averaging(age, value=0.0):
    module, average = _Module(value), Average(age)
    average.on_train_start(SimpleNamespace(), module)
    return module, average


def test_the_average_weighs_each_step_by_a_power_of_its_number():
    module, average = _averaging(1 / 4, 5.0)
    _steps(average, module, [1.0, 2.0, 4.0])
    # Mean age of a quarter: the weights count as a sum of squares grows, 1, 8 - 1, 27 - 8; the first, 5, nothing.
    assert average.average["weight"].item() == pytest.approx((1 * 1.0 + 7 * 2.0 + 19 * 4.0) / 27)
    assert list(average.average) == ["weight"]


@pytest.mark.parametrize("age", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("steps", [1_000, 10_000])
def test_its_mean_age_is_the_same_share_of_a_short_training_and_a_long_one(age, steps):
    module, average = _averaging(age)
    _steps(average, module, [float(step) for step in range(1, steps + 1)])
    assert 1 - average.average["weight"].item() / steps == pytest.approx(age, abs=0.01)


def test_after_a_while_every_tenth_step_is_taken_for_ten():
    module, average = _averaging(1 / 4)
    _steps(average, module, [1.0] * 100)
    _steps(average, module, [7.0] * 9 + [2.0], first=101)
    assert average.average["weight"].item() == pytest.approx((100**3 * 1.0 + (110**3 - 100**3) * 2.0) / 110**3)


def test_it_is_lent_for_a_validation_and_taken_back():
    module, average = _Module(1.0), Average(0.1)
    average.on_train_start(SimpleNamespace(), module)
    with torch.no_grad():
        module.weight.fill_(3.0)
    average.on_validation_epoch_start(SimpleNamespace(), module)
    assert module.weight.item() == 1.0
    average.on_validation_end(SimpleNamespace(), module)
    assert (module.weight.item(), average.average["weight"].item()) == (3.0, 1.0)


def test_a_validation_cut_off_leaves_the_weights_as_they_were():
    module, average = _Module(1.0), Average(0.1)
    average.on_train_start(SimpleNamespace(), module)
    with torch.no_grad():
        module.weight.fill_(3.0)
    average.on_validation_epoch_start(SimpleNamespace(), module)
    average.on_exception(SimpleNamespace(), module, KeyboardInterrupt())
    assert module.weight.item() == 3.0


def test_it_goes_on_from_its_state():
    module, whole = _Module(0.0), Average(0.01)
    whole.on_train_start(SimpleNamespace(), module)
    _steps(whole, module, [float(step) for step in range(140)])
    module, first, second = _Module(0.0), Average(0.01), Average(0.01)
    first.on_train_start(SimpleNamespace(), module)
    _steps(first, module, [float(step) for step in range(95)])
    second.load_state_dict(first.state_dict())
    second.on_train_start(SimpleNamespace(), module)
    _steps(second, module, [float(step) for step in range(95, 140)], first=96)
    assert torch.equal(whole.average["weight"], second.average["weight"])
