"""Weights between an untuned model's and a tuned one's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def go_part_way(model: nn.Module, first: Mapping[str, Tensor], way: float) -> None:
    """Put weights on the line from their first values to their present ones, in place (WiSE-FT, Wortsman et al. 2022).

    Args:
        model: with its present weights.
        first: its first ``state_dict``.
        way: 0 for the first values, 1 for the present ones.
    """
    present = model.state_dict()
    model.load_state_dict(
        {
            name: torch.lerp(first[name], weight, way) if weight.is_floating_point() else weight
            for name, weight in present.items()
        }
    )
