"""What the towers look up while they train: items, queries and users by code. It is data, not part of the model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from towers.item import ItemInputs


@dataclass(frozen=True)
class UserFeatures:
    """Profile features; row i of every tensor is user i."""

    categorical: Tensor
    """``[users, categories]`` int64, 0 for missing or unknown."""
    numeric: Tensor
    """``[users, numbers]`` float32, standardised, 0 where missing."""
    numeric_mask: Tensor
    """``[users, numbers]`` float32, 1 where known."""

    def rows(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the features of some users."""
        return self.categorical[rows], self.numeric[rows], self.numeric_mask[rows]

    def to(self, device: torch.device | str) -> UserFeatures:
        """Return the features on another device."""
        return UserFeatures(self.categorical.to(device), self.numeric.to(device), self.numeric_mask.to(device))


@dataclass(frozen=True)
class Catalogue:
    """The shop as the towers read it."""

    items: ItemInputs
    queries: Tensor
    """``[queries, text_dim]`` float32: vectors of the query texts."""
    users: UserFeatures
    shares: Tensor
    """``[items]`` float64: share of each item among the targets that training draws."""
    chances: Tensor
    """``[items]`` float64: chance of each item in one draw of a negative by popularity."""
    since: Tensor
    """``[items]`` int64 microseconds: available from then."""
    until: Tensor
    """``[items]`` int64 microseconds: not available from then on."""

    @cached_property
    def always_open(self) -> bool:
        """Whether every item is available at all times."""
        extremes = torch.iinfo(torch.int64)
        return bool((self.since == extremes.min).all() and (self.until == extremes.max).all())

    def to(self, device: torch.device | str) -> Catalogue:
        """Return the catalogue on another device."""
        return Catalogue(
            self.items.to(device),
            self.queries.to(device),
            self.users.to(device),
            self.shares.to(device),
            self.chances.to(device),
            self.since.to(device),
            self.until.to(device),
        )
