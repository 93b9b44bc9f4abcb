import copy

import pytest
import torch
from torch import nn

from learning.interpolation import go_part_way


@pytest.mark.parametrize("way", [0.0, 0.25, 1.0])
def test_weights_lie_on_the_line_and_counters_stay(way):
    model = nn.BatchNorm1d(2)
    first = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        model.weight += 4.0
    model.num_batches_tracked += 7
    go_part_way(model, first, way)
    torch.testing.assert_close(model.weight, torch.full((2,), 1.0 + 4.0 * way))
    torch.testing.assert_close(model.bias, torch.zeros(2))
    assert model.num_batches_tracked == 7
