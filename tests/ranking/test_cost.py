import time

import numpy as np
import pytest
import torch

from configs.errors import InputError
from ranking.cost import Cost, Speed, measure_speed, reading_tokens

COST = Cost({"training": 60_000, "test": 240_000}, Speed(reading=2_000.0, training=500.0))


def test_minutes_are_tokens_over_speed():
    assert COST.minutes == pytest.approx((60_000 / 500 + 240_000 / 2_000) / 60)  # 2 + 2
    assert "300,000 tokens (training 60,000, test 240,000)" in COST.line()
    assert "about 4.0 min" in COST.line()


def test_fitting_the_numbers_takes_its_time_too():
    cost = Cost({"training": 60_000}, Speed(reading=2_000.0, training=500.0, numbers=0.3), number_steps=200)
    assert cost.minutes == pytest.approx((60_000 / 500 + 200 * 0.3) / 60)


def test_too_long_is_refused_with_advice():
    COST.check(4.0, {"depth": 20})
    with pytest.raises(InputError, match=r"about 4\.0 min, but ranking\.max_minutes=3 is allowed.*ranking\.depth=20"):
        COST.check(3.0, {"depth": 20})


def test_measuring_changes_neither_weights_nor_the_random_state(ranker, describe):
    before = {name: value.clone() for name, value in ranker.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    examples = describe([[0, 1]] * 20, ["red"] * 20)
    gains = np.tile(np.array([[1, 0]], np.float32), (20, 1))
    speed = measure_speed(ranker, examples, gains, tokens_per_batch=40, batch_lists=4, precision="fp32")
    assert torch.rand(1) == expected
    assert speed.reading > 0
    assert speed.training > 0
    assert speed.numbers > 0
    assert all(torch.equal(before[name], value) for name, value in ranker.state_dict().items())
    assert all(parameter.grad is None for parameter in ranker.parameters())


def test_the_speed_of_training_counts_the_optimisers_steps(ranker, describe, monkeypatch):
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: time.sleep(0.05))
    examples = describe([[0, 1]] * 4, ["red"] * 4)
    gains = np.tile(np.array([[1, 0]], np.float32), (4, 1))
    speed = measure_speed(ranker, examples, gains, tokens_per_batch=400, batch_lists=1, precision="fp32")
    assert speed.training < ranker.cross_encoder.training_tokens(examples).max() / 0.05


def test_reading_counts_each_context_and_item_once_and_a_token_a_candidate(ranker, describe):
    # [CLS] red [SEP] twice; the items red shoe (4 tokens) and hat (3); three candidates.
    assert reading_tokens(ranker, describe([[0, 2], [2, -1]], ["red", "red"])) == 2 * 3 + (4 + 3) + 3
