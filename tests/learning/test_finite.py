import math

import pytest

from learning.finite import LossError, checked_loss


def test_a_finite_loss_passes():
    assert checked_loss(0.25, 3, "towers.learning_rate") == 0.25


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_any_other_is_told_with_its_step_and_what_to_do(loss):
    with pytest.raises(LossError, match=rf"step 7 is {loss}.*Lower text.adapt_learning_rate.*text.precision=fp32"):
        checked_loss(loss, 7, "text.adapt_learning_rate")
