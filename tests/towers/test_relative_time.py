import math

import torch

from towers.relative_time import BUCKETS, TimeBias, time_buckets

HOURS = torch.tensor([[9.0, 0.0, 1 / 60, 24.0, 7 * 365 * 24.0]])
"""Since the event before: at once, a minute, a day, seven years. What lay before the first event means nothing here."""


def test_buckets_are_of_log_minutes():
    found = time_buckets(torch.log1p(HOURS))[0]
    minutes = [0.0, 0.0, 1.0, 1441.0, 1441.0 + 7 * 365 * 24 * 60]
    for row, later in enumerate(minutes):
        for column, earlier in enumerate(minutes):
            wanted = min(int(2 * math.log1p(max(later - earlier, 0.0))), BUCKETS - 1)
            assert found[row, column] == wanted, (row, column)
    assert found[4, 0] == BUCKETS - 1


def test_minutes_are_told_apart_after_years():
    years, minute = torch.full((1, 40), math.log1p(365 * 24.0)), torch.log1p(torch.tensor([[1 / 60, 1 / 60]]))
    found = time_buckets(torch.cat([years, minute], dim=1))[0]
    assert found[41, 40] == 1  # 2 ln 2
    assert found[41, 39] == 2  # 2 ln 3


def test_a_bias_is_looked_up_by_bucket_block_and_head():
    bias = TimeBias(layers=2, heads=3)
    with torch.no_grad():
        bias.bias.weight.copy_(torch.arange((BUCKETS + 1) * 6).view(-1, 6))
    found = bias(torch.log1p(HOURS), before=2)
    assert found.shape == (2, 1, 3, 7, 7)
    buckets = time_buckets(torch.log1p(HOURS))[0]
    for layer in range(2):
        for head in range(3):
            column = layer * 3 + head
            assert found[layer, 0, head, 5, 4] == buckets[3, 2] * 6 + column
            assert found[layer, 0, head, 6, 1] == BUCKETS * 6 + column  # the start has no time


def test_later_places_are_not_seen():
    found = TimeBias(layers=1, heads=2)(torch.log1p(HOURS), before=1)[0, 0]
    later = torch.ones(6, 6, dtype=torch.bool).triu(1)
    assert torch.isneginf(found[:, later]).all()
    assert (found[:, ~later] == 0).all()  # a new tower is a plain causal transformer
