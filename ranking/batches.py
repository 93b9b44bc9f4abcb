"""Examples to batches of lists under a token budget: contexts, each distinct item once, and where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learning.encode import token_batches
from ranking.pairs import Tokens

_SHUFFLED_TOGETHER = 32
"""Batches within which lists are sorted by length: enough to save padding, few enough to stay random."""
_HELD_TOGETHER = 4096
"""Requests of which everything is in memory at once; some megabytes."""
_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Examples:
    """Everything the cross-encoder is told about some requests and their candidates.

    Arrays may lie in memory-mapped files (``ranking.example_file``): whoever needs all requests goes by ``blocks``.
    """

    items: NDArray[np.int32]
    """``[requests, length]``, -1 past a list's end."""
    features: NDArray[np.float32]
    """``[requests, length, features]``."""
    intent: NDArray[np.float32]
    """``[requests, 3]``."""
    contexts: Tokens
    """Of each request."""
    item_tokens: Tokens
    """Of each item code."""

    def __len__(self) -> int:
        return len(self.items)

    def of(self, rows: NDArray[np.int64]) -> Examples:
        """Return the examples of some requests."""
        offsets = np.concatenate([[0], np.cumsum(self.contexts.lengths[rows])]).astype(np.int64)
        ids = np.concatenate([self.contexts.of(int(row)) for row in rows])
        return Examples(
            self.items[rows], self.features[rows], self.intent[rows], Tokens(ids, offsets), self.item_tokens
        )

    def blocks(self) -> Iterator[slice]:
        """Yield rows of so many requests as may be held in memory at once."""
        for start in range(0, len(self), _HELD_TOGETHER):
            yield slice(start, min(start + _HELD_TOGETHER, len(self)))

    @cached_property
    def candidates(self) -> NDArray[np.int64]:
        """Candidates per request, ``[requests]``."""
        return np.concatenate([(self.items[rows] >= 0).sum(axis=1) for rows in self.blocks()] or [_NONE])

    @cached_property
    def of_items(self) -> NDArray[np.int64]:
        """Tokens of the texts of all candidates of a request together, ``[requests]``."""
        lengths = np.append(self.item_tokens.lengths, 0)  # the last is that of no item, -1
        return np.concatenate([lengths[self.items[rows]].sum(axis=1) for rows in self.blocks()] or [_NONE])


class Batch(NamedTuple):
    """Some requests with the texts of all their candidates."""

    context_ids: Tensor
    """``[lists, tokens]``."""
    context_mask: Tensor
    item_ids: Tensor
    """``[distinct items, tokens]``."""
    item_mask: Tensor
    places: Tensor
    """``[lists, length]``: row of each candidate among the distinct items; 0 past a list's end."""
    features: Tensor
    """``[lists, length, features]``."""
    intent: Tensor
    """``[lists, 3]``."""
    kept: Tensor
    """``[lists, length]``, bool."""
    gains: Tensor
    """``[lists, length]``."""


def make_batch(examples: Examples, rows: NDArray[np.int64], gains: NDArray[np.float32]) -> Batch:
    """Lay out some requests for training; ``gains`` is ``[requests, length]`` of all examples."""
    items = examples.items[rows]
    kept = items >= 0
    distinct, where = np.unique(items[kept], return_inverse=True)
    places = np.zeros(items.shape, dtype=np.int64)
    places[kept] = where
    return Batch(
        *lay(examples.contexts, rows),
        *lay(examples.item_tokens, distinct),
        torch.from_numpy(places),
        torch.from_numpy(examples.features[rows]),
        torch.from_numpy(examples.intent[rows]),
        torch.from_numpy(kept),
        torch.from_numpy(gains[rows]),
    )


def lay(tokens: Tokens, rows: NDArray[np.integer]) -> tuple[Tensor, Tensor]:
    """Return token ids of some texts and their mask, ``[rows, longest]`` int64 each, padded at the end."""
    lengths = tokens.lengths[rows]
    mask = np.arange(int(lengths.max())) < lengths[:, None]
    place = np.where(mask, tokens.offsets[rows][:, None] + np.arange(mask.shape[1]), 0)
    return torch.from_numpy(np.where(mask, tokens.ids[place], 0)), torch.from_numpy(mask.astype(np.int64))


class TrainingBatches:
    """Batches of an epoch in a random order that seed and epoch alone decide; each new pass is the next epoch.

    A training that was cut off says how many steps it has ``done``, and its first pass is what is left of its epoch.
    """

    def __init__(
        self,
        examples: Examples,
        gains: NDArray[np.float32],
        *,
        tokens: NDArray[np.int64],
        tokens_per_batch: int,
        batch_lists: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        done: int = 0,
    ) -> None:
        """Take what is trained on.

        Args:
            examples: the lists.
            gains: ``[requests, length]``.
            tokens: ``[requests]``, what the model reads of each.
            tokens_per_batch: padded tokens in a batch, at most; a list is never cut.
            batch_lists: lists in a batch, at most.
            seed: of the order.
            rank: of this process.
            ranks: processes that train together; in each step every one reads a batch of its own.
            done: steps of an earlier training of these lists that this one goes on from.
        """
        self._examples, self._gains, self._tokens = examples, gains, tokens
        self._tokens_per_batch, self._batch_lists, self._seed = tokens_per_batch, batch_lists, seed
        self._rank, self._ranks = rank, ranks
        self._epoch, self._skipped = 0, done
        while self._skipped >= len(self.rows(self._epoch)) > 0:
            self._skipped -= len(self.rows(self._epoch))
            self._epoch += 1

    def __iter__(self) -> Iterator[Batch]:
        batches = self.rows(self._epoch)[self._skipped :]
        self._epoch, self._skipped = self._epoch + 1, 0
        for rows in batches:
            yield make_batch(self._examples, rows, self._gains)

    def rows(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return the requests of each of this rank's batches of an epoch; all ranks have equally many."""
        batches = self._all_rows(epoch)
        whole = len(batches) - len(batches) % self._ranks
        mine = batches[self._rank : whole : self._ranks]
        rest = np.concatenate(batches[whole:]) if batches[whole:] else np.zeros(0, dtype=np.int64)
        # What is left is dealt evenly; fewer lists than ranks sit this epoch out.
        return [*mine, np.array_split(rest, self._ranks)[self._rank]] if len(rest) >= self._ranks else mine

    def _all_rows(self, epoch: int) -> list[NDArray[np.int64]]:
        draw = np.random.default_rng([self._seed, epoch])
        lengths = self._tokens
        order = draw.permutation(len(lengths))
        most = min(self._batch_lists, max(1, self._tokens_per_batch // int(lengths.max())))
        stride = _SHUFFLED_TOGETHER * most
        batches = [
            chunk[np.array(batch)]
            for chunk in (order[start : start + stride] for start in range(0, len(order), stride))
            for batch in token_batches(lengths[chunk].tolist(), self._tokens_per_batch, self._batch_lists)
        ]
        return [batches[place] for place in draw.permutation(len(batches))]
