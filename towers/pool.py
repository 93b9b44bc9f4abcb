"""The negatives of a step: the batch's targets, uniform draws and draws by popularity, or the whole catalogue."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]


def popularity_chances(shares: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    """Return each item's chance in one draw by popularity: share to a power, brought to a sum of 1.

    A power of 1 draws as the targets come, .75 is word2vec's (Mikolov et al. 2013), near 0 all chosen items alike. An
    item that no target is never comes.

    Args:
        shares: ``[items]``, each item's share among the trained targets.
        power: above 0.

    Returns: float64 ``[items]``; zeros where nothing was chosen at all.
    """
    weights = shares**power
    chances: NDArray[np.float64] = weights / max(weights.sum(), np.finfo(np.float64).tiny)
    return chances


@dataclass(frozen=True)
class PoolPlan:
    """How the negatives of a step are found; counts are over all ranks."""

    items: int
    """Size of the catalogue."""
    exact: bool
    """Every item of the catalogue is a negative."""
    most_targets: int = 0
    """Targets of the batch that enter the pool, at most."""
    uniform: int = 0
    """Uniform draws."""
    popular: int = 0
    """Draws by popularity."""
    chances: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """``[items]``: each item's chance in a draw by popularity, as ``popularity_chances`` gives it."""

    def draw(self, targets: Codes, random: np.random.Generator) -> tuple[Codes, int]:
        """Return the distinct items of a pool (int64, ascending) and how many targets were drawn into it.

        Args:
            targets: ``[rows]``, the items that the batch is to foretell.
            random: what is drawn from.
        """
        if self.exact:
            return np.arange(self.items), len(targets)
        kept = targets
        if len(targets) > self.most_targets:
            kept = random.choice(targets, self.most_targets, replace=False)
        drawn = [kept, random.integers(0, self.items, self.uniform)]
        if self.popular:
            # As random.choice(items, popular, p=chances), which would sum up the whole catalogue in every step.
            drawn.append(np.searchsorted(self._rising, random.random(self.popular), side="right"))
        return np.unique(np.concatenate(drawn)), len(kept)

    @cached_property
    def _rising(self) -> NDArray[np.float64]:
        """``[items]``: the chances of all items up to each."""
        rising = self.chances.cumsum()
        return np.asarray(rising / rising[-1])
