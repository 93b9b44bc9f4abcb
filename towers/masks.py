"""What is no negative: the row's own target, the user's other targets, equivalents, items not available then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Equivalents:
    """Declared equivalents of items, such as variants, in both directions."""

    offsets: NDArray[np.int64]
    """``[items + 1]``: those of item i are ``other[offsets[i]:offsets[i + 1]]``."""
    other: NDArray[np.int64]

    @classmethod
    def of(cls, item: NDArray[np.integer], other: NDArray[np.integer], items: int) -> Equivalents:
        """Collect declared pairs, ``[pairs]`` each."""
        both = np.unique(np.stack([np.append(item, other), np.append(other, item)], axis=1).astype(np.int64), axis=0)
        counts = np.bincount(both[:, 0], minlength=items)
        return cls(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), both[:, 1])

    def pairs(self, targets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return (row of ``targets``, equivalent item), int64 ``[pairs, 2]``."""
        counts = self.offsets[targets + 1] - self.offsets[targets]
        row = np.repeat(np.arange(len(targets)), counts)
        nth = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.stack([row, self.other[np.repeat(self.offsets[targets], counts) + nth]], axis=1)


def excluded(
    pool: Tensor,
    target: Tensor,
    row: Tensor,
    users: int,
    others: Tensor,
    equivalents: Tensor,
    items: int,
) -> Tensor:
    """Return where an item of the pool is no negative of a row, bool ``[rows, pool]``.

    Args:
        pool: ``[pool]`` int64 item codes, distinct.
        target: ``[rows]`` int64 codes.
        row: ``[rows]`` int64: which user of the batch each row belongs to.
        users: users in the batch.
        others: ``[pairs, 2]`` int64: (user, code) of the users' other targets.
        equivalents: ``[pairs, 2]`` int64: (row, code) of the targets' equivalents.
        items: size of the catalogue.
    """
    place = torch.full((items,), -1, dtype=torch.int64, device=pool.device)
    place[pool] = torch.arange(len(pool), device=pool.device)
    by_user = _mark(others, place, users, len(pool))
    mask = by_user[row]
    _mark_into(mask, torch.stack([torch.arange(len(target), device=pool.device), target], dim=1), place)
    _mark_into(mask, equivalents, place)
    return mask


def not_available(pool: Tensor, moment: Tensor, since: Tensor, until: Tensor) -> Tensor:
    """Return where an item of the pool was not on offer when the row's target was chosen, bool ``[rows, pool]``.

    Args:
        pool: ``[pool]`` int64 codes.
        moment: ``[rows]`` int64 microseconds.
        since: ``[items]`` int64: available from then.
        until: ``[items]`` int64: not available from then on.
    """
    return (since[pool] > moment[:, None]) | (until[pool] <= moment[:, None])


def _mark(pairs: Tensor, place: Tensor, rows: int, width: int) -> Tensor:
    mask = torch.zeros(rows, width, dtype=torch.bool, device=place.device)
    _mark_into(mask, pairs, place)
    return mask


def _mark_into(mask: Tensor, pairs: Tensor, place: Tensor) -> None:
    column = place[pairs[:, 1]]
    there = column >= 0
    mask[pairs[there, 0], column[there]] = True
