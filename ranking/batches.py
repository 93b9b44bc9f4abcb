"""Examples to packed batches: a context followed by its candidates, one request a row, under a token budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learning.encode import token_batches
from ranking.cross_encoder import PADDING
from ranking.pairs import Tokens

_SHUFFLED_TOGETHER = 32
"""Batches within which lists are sorted by length: enough to save padding, few enough to stay random."""


@dataclass(frozen=True)
class Examples:
    """Everything the cross-encoder is told about some requests and their candidates."""

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

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each packed list, ``[requests]``."""
        of_items = np.where(self.items >= 0, self.item_tokens.lengths[np.maximum(self.items, 0)], 0)
        lengths: NDArray[np.int64] = self.contexts.lengths + of_items.sum(axis=1)
        return lengths


class Batch(NamedTuple):
    """Packed lists; see ``CrossEncoder.score`` for shapes."""

    input_ids: Tensor
    segments: Tensor
    positions: Tensor
    features: Tensor
    intent: Tensor
    kept: Tensor
    """``[lists, length]``, bool."""
    gains: Tensor
    """``[lists, length]``; zeros where nothing is known."""


def pack(
    examples: Examples, rows: NDArray[np.int64], context_tokens: int, gains: NDArray[np.float32] | None = None
) -> Batch:
    """Lay some requests out as packed lists.

    Args:
        examples: of which ``rows`` are taken.
        rows: requests.
        context_tokens: position at which every item starts.
        gains: ``[requests, length]`` of all examples, for training.
    """
    longest = int(examples.lengths[rows].max())
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    segments = np.full((len(rows), longest), PADDING, dtype=np.int64)
    positions = np.zeros((len(rows), longest), dtype=np.int64)
    for line, row in enumerate(rows):
        parts = [
            examples.contexts.of(row),
            *(examples.item_tokens.of(item) for item in examples.items[row] if item >= 0),
        ]
        sizes = np.array([len(part) for part in parts])
        total = int(sizes.sum())
        starts = np.cumsum(sizes) - sizes
        number = np.repeat(np.arange(len(parts)), sizes)
        ids[line, :total] = np.concatenate(parts)
        segments[line, :total] = number
        positions[line, :total] = np.arange(total) - starts[number] + np.where(number > 0, context_tokens, 0)
    kept = examples.items[rows] >= 0
    known = np.zeros(kept.shape, np.float32) if gains is None else gains[rows]
    arrays = (ids, segments, positions, examples.features[rows], examples.intent[rows], kept, known)
    return Batch(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))


class TrainingBatches:
    """Batches of an epoch in a random order that seed and epoch alone decide; each new pass is the next epoch."""

    def __init__(
        self, examples: Examples, gains: NDArray[np.float32], *, context_tokens: int, tokens_per_batch: int, seed: int
    ) -> None:
        self._examples, self._gains = examples, gains
        self._context_tokens, self._tokens_per_batch, self._seed = context_tokens, tokens_per_batch, seed
        self._epoch = 0

    def __iter__(self) -> Iterator[Batch]:
        batches = self.rows(self._epoch)
        self._epoch += 1
        for rows in batches:
            yield pack(self._examples, rows, self._context_tokens, self._gains)

    def rows(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return the requests of each batch of an epoch."""
        draw = np.random.default_rng([self._seed, epoch])
        lengths = self._examples.lengths
        order = draw.permutation(len(lengths))
        stride = max(1, _SHUFFLED_TOGETHER * self._tokens_per_batch // int(lengths.max()))
        batches = [
            chunk[np.array(batch)]
            for chunk in (order[start : start + stride] for start in range(0, len(order), stride))
            for batch in token_batches(lengths[chunk].tolist(), self._tokens_per_batch)
        ]
        return [batches[place] for place in draw.permutation(len(batches))]
