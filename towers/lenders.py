"""Id residuals lent to items that have none of their own: a new item starts where items like it stand."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MOST_LENDERS = 50_000
"""Items with a residual that lend it, evenly over the catalogue: bounds the search, whatever the catalogue's size."""
_TEMPERATURE = 0.05
"""Of the softmax over cosines by which lenders weigh: one that is .05 nearer weighs e times as much."""
_AT_ONCE = 1024


@dataclass(frozen=True)
class Lenders:
    """Items with an id residual, found by what is known of an item without its id.

    The towers learn where an item stands from its content and its residual together, so content alone stands apart from
    all items that have both, and ranks behind them. The mean residual of the nearest items by content closes the gap:
    the vectors of cold items as a weighted mean of their neighbours' (Barkan and Koenigstein 2016 add up vectors of an
    item's metadata; here neighbours are found by the trained content). Where neighbours disagree their mean is short,
    and the item's own content tells more.
    """

    content: Tensor
    """``[lenders, dim]`` float32, unit length."""
    residual: Tensor
    """``[lenders, dim]`` float32, as long as they are added to the content."""
    nearest: int
    """Lenders of an item."""

    def lend(self, content: Tensor) -> Tensor:
        """Return residuals for items with this content, ``[items, dim]`` both, float32."""
        parts = [self.lend_few(part) for part in torch.split(F.normalize(content, dim=1), _AT_ONCE)]
        return torch.cat(parts) if parts else torch.zeros_like(content)

    def lend_few(self, content: Tensor) -> Tensor:
        """Do the same at once, for content of unit length; memory grows with items times lenders."""
        near = (content @ self.content.T).topk(min(self.nearest, len(self.content)), dim=1)
        weight = torch.softmax(near.values / _TEMPERATURE, dim=1)
        return (weight[:, :, None] * self.residual[near.indices]).sum(dim=1)


def evenly(codes: Tensor, most: int) -> Tensor:
    """Return at most so many of the codes, ``[codes]`` int64 ascending: evenly spaced, both ends among them."""
    if len(codes) <= most:
        return codes
    return codes[torch.linspace(0, len(codes) - 1, most, dtype=torch.float64).long()]
