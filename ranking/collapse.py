"""Whether a training has collapsed: a reranker that gives all candidates of a list one score orders nothing.

The loss alone does not tell: with equal scores it stands at the logarithm of the list's length, a finite number.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_SPREAD = 1e-4
"""Standard deviation of the scores within a list below which they are one score."""
PATIENCE = 20
"""Steps on end with such lists after which training stops."""


def spread_within_lists(scores: NDArray[np.float32], kept: NDArray[np.bool_]) -> float:
    """Return the median, over lists of at least two candidates, of the standard deviation of their scores.

    Args:
        scores: ``[lists, length]``; anything past a list's end.
        kept: ``[lists, length]``.

    Returns: NaN without such a list.
    """
    several = [row[there].std() for row, there in zip(scores, kept, strict=True) if there.sum() > 1]
    return float(np.median(several)) if several else float("nan")


class CollapseWatch:
    """Counts the steps on end whose lists have no spread."""

    def __init__(self) -> None:
        self.flat = 0
        """Of them by now."""
        self.reason = ""
        """Why training should stop; empty while it should not."""

    def see(self, spread: float, step: int, loss: float) -> bool:
        """Take in a step's spread and loss, and return whether training should stop."""
        self.flat = self.flat + 1 if spread < LEAST_SPREAD else 0
        if self.flat >= PATIENCE:
            self.reason = (
                f"training collapsed and was stopped at step {step:,}: over its last {PATIENCE} steps the scores "
                f"within a list differed by less than {LEAST_SPREAD:g} (now {spread:.1e}, loss {loss:.3f}), so they "
                "give no order; lower ranking.learning_rate and ranking.head_learning_rate, or raise "
                "ranking.number_steps"
            )
        return bool(self.reason)
