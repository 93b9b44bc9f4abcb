"""Views of a text that a training step reads: some of its tokens left out, so that no single word is leant on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def without_some_tokens(row: Sequence[int], share: float, random: np.random.Generator) -> list[int]:
    """Return a text's token ids with a share left out at random.

    The first and the last (special tokens of most encoders) always stay, and at least one of those between them.

    Args:
        row: token ids.
        share: chance of each token between the ends to be left out.
        random: what decides.
    """
    inner = np.asarray(row[1:-1])
    keep = random.random(len(inner)) >= share
    if len(inner) and not keep.any():
        keep[random.integers(len(inner))] = True
    return [int(row[0]), *inner[keep].tolist(), *(int(last) for last in row[1:][-1:])]
