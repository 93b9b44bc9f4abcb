"""How far apart two events lie in time, told to attention: a learnt bias by bucket of log time.

Positions tell the order of events but not that three views came within a minute and the fourth a month before. A bias
per head and bucket, added to the attention scores, tells that of every pair of events (as T5 does for distances in
text, Raffel et al. 2020; HSTU, Zhai et al. 2024, adds one for time as well).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BUCKETS = 31
"""Of time: two for each factor e, from a minute's fraction to six years and beyond."""


def time_buckets(gap: Tensor) -> Tensor:
    """Return the bucket of the time between every two events, ``[batch, length, length]`` int64, 0 to BUCKETS - 1.

    That is floor(2 ln(1 + minutes)), at most the last; 0 for an event with itself and with later ones.

    Args:
        gap: ``[batch, length]``, log(1 + hours) since the event before.
    """
    # In double: hours summed over years, of which the difference is to tell minutes.
    at = torch.expm1(gap.double()).cumsum(1)
    minutes = 60.0 * (at.unsqueeze(2) - at.unsqueeze(1)).clamp(min=0.0)
    return (2.0 * torch.log1p(minutes)).long().clamp(max=BUCKETS - 1)


class TimeBias(nn.Module):
    """The bias of every pair of places, for all blocks of a causal transformer at once."""

    def __init__(self, layers: int, heads: int) -> None:
        super().__init__()
        self.layers = layers
        # The last row is for pairs with a token that has no time: profile features and the start.
        self.bias = nn.Embedding(BUCKETS + 1, layers * heads)
        nn.init.zeros_(self.bias.weight)

    def forward(self, gap: Tensor, before: int) -> Tensor:
        """Return what is added to the attention scores, ``[layers, batch, heads, places, places]``.

        Later places have minus infinity, so nothing else need make the attention causal.

        Args:
            gap: ``[batch, length]``, log(1 + hours) since the event before.
            before: tokens without a time that stand before the events.
        """
        buckets = F.pad(time_buckets(gap), (before, 0, before, 0), value=BUCKETS)
        bias: Tensor = self.bias(buckets).unflatten(3, (self.layers, -1)).permute(3, 0, 4, 1, 2)
        places = torch.arange(bias.shape[3], device=gap.device)
        return bias.masked_fill(places > places.unsqueeze(1), float("-inf"))
