"""What is no negative: the row's own target, the user's other targets, equivalents, items not available then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from commerce.stretches import stretches


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
        row, at = stretches(self.offsets[targets], counts)
        return np.stack([row, self.other[at]], axis=1)


def excluded(
    pool: Tensor,
    target: Tensor,
    row: Tensor,
    users: int,
    others: Tensor,
    equivalents: Tensor,
) -> Tensor:
    """Return where an item of the pool is no negative of a row, bool ``[rows, pool]``.

    Args:
        pool: ``[pool]`` int64 item codes, distinct.
        target: ``[rows]`` int64 codes.
        row: ``[rows]`` int64: which user of the batch each row belongs to.
        users: users in the batch.
        others: ``[pairs, 2]`` int64: (user, code) of the users' other targets.
        equivalents: ``[pairs, 2]`` int64: (row, code) of the targets' equivalents.
    """
    by_user = torch.zeros(users, len(pool), dtype=torch.bool, device=pool.device)
    # Sorted, and not a table of every item's place: a step must cost the same in a catalogue of any size.
    ordered, column = pool.sort()
    ordered = torch.cat([ordered, ordered.new_tensor([torch.iinfo(torch.int64).max])])  # so that none is past the end
    _mark(by_user, others, ordered, column)
    mask = by_user[row]
    _mark(mask, torch.stack([torch.arange(len(target), device=pool.device), target], dim=1), ordered, column)
    _mark(mask, equivalents, ordered, column)
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


def _mark(mask: Tensor, pairs: Tensor, ordered: Tensor, column: Tensor) -> None:
    """Set where a pair (row, code) meets the pool, given its codes, ascending, and the column of each."""
    place = torch.searchsorted(ordered, pairs[:, 1].contiguous())
    there = ordered[place] == pairs[:, 1]
    mask[pairs[there, 0], column[place[there]]] = True
