"""The gate: a reranker ships only if it makes lists better by more than chance.

The weight of its scores is chosen on the ``fit`` half of validation; the verdict is given on the ``gate`` half, which
nothing was chosen on, by a paired interval over users.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.intervals import Interval, bootstrap, paired
from commerce.metrics import Relevant, find, ndcg
from ranking.collapse import LEAST_SPREAD, spread_within_lists
from ranking.fusion import fuse, reorder

CUT = 10
"""The gate is NDCG@10."""
WEIGHTS = tuple(step / 20 for step in range(21))
"""Tried on ``fit``; 0 is the blended order itself."""


@dataclass(frozen=True)
class Judged:
    """Lists of one half of validation with the cross-encoder's scores; arrays are ``[requests, candidates]``."""

    items: NDArray[np.int32]
    """Blended order, ``NO_ITEM`` past a list's end."""
    retrieved: NDArray[np.float32]
    """Blended scores."""
    read: NDArray[np.float32]
    """``[requests, depth]``: the cross-encoder's scores of the first candidates."""
    relevant: Relevant
    users: NDArray[np.int32]
    """``[requests]``."""

    def ndcg(self, weight: float) -> NDArray[np.float64]:
        """Return NDCG@10 per request when the cross-encoder has this weight."""
        shown = self.items
        if weight > 0:
            depth = self.read.shape[1]
            kept = self.items[:, :depth] >= 0
            shown, _ = reorder(self.items, self.retrieved, fuse(self.read, self.retrieved[:, :depth], kept, weight))
        return ndcg(find(shown, self.relevant), CUT)


@dataclass(frozen=True)
class Verdict:
    """What the gate says of one protocol."""

    shipped: bool
    reason: str
    weight: float
    """Of the cross-encoder in the fused score; 0 where it does not ship."""
    requests: int
    users: int
    blended: Interval | None
    reranked: Interval | None
    difference: Interval | None
    """Reranked minus blended NDCG@10, paired over users."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``gate.json``."""
        measured = {"blended": self.blended, "reranked": self.reranked}
        return {
            "shipped": self.shipped,
            "reason": self.reason,
            "weight": self.weight,
            "requests": self.requests,
            "users": self.users,
            f"ndcg@{CUT}": {name: interval.as_dict() for name, interval in measured.items() if interval},
            "paired": self.difference.as_dict() if self.difference else None,
        }


def closed(reason: str) -> Verdict:
    """Return the verdict on a reranker that never came before the gate."""
    return Verdict(False, reason, 0.0, 0, 0, None, None, None)


def choose_weight(fit: Judged) -> tuple[float, dict[float, float]]:
    """Return the weight with the best mean NDCG@10 on ``fit``, the smallest of equals, and the mean of each tried."""
    tried = {weight: float(fit.ndcg(weight).mean()) for weight in WEIGHTS} if len(fit.items) else {0.0: 0.0}
    return max(tried, key=lambda weight: (tried[weight], -weight)), tried


def collapsed(read: NDArray[np.float32], kept: NDArray[np.bool_]) -> bool:
    """Whether the cross-encoder gives nearly all candidates of a list one score, so that it orders nothing."""
    return spread_within_lists(read, kept) < LEAST_SPREAD


def judge(gate: Judged, weight: float, *, resamples: int, confidence: float, seed: int) -> Verdict:
    """Compare the reranked with the blended order on the ``gate`` half; ships above zero only.

    Args:
        gate: requests that neither training nor ``choose_weight`` saw.
        weight: as ``choose_weight`` chose it.
        resamples: of users, behind the interval.
        confidence: of the interval.
        seed: of the resampling.
    """
    if not len(gate.items):
        return closed("the gate half of validation holds no request")
    kept = gate.items[:, : gate.read.shape[1]] >= 0
    before = gate.ndcg(0.0)
    after = gate.ndcg(weight)
    options = {"resamples": resamples, "confidence": confidence, "seed": seed}
    difference = paired(after, before, gate.users, **options)  # type: ignore[arg-type]
    shipped = weight > 0 and difference.low > 0
    spread = f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
    if weight == 0:
        reason = "no weight above 0 did better than the blended order on the fit half of validation"
        if collapsed(gate.read, kept):
            reason = "the cross-encoder gives all candidates of a list one score: it has learned no order"
    elif shipped:
        reason = f"NDCG@{CUT} over the blended order rises by {spread} on the gate half"
    else:
        reason = f"NDCG@{CUT} over the blended order changes by {spread} on the gate half, which chance may explain"
    return Verdict(
        shipped,
        reason,
        weight if shipped else 0.0,
        len(before),
        len(np.unique(gate.users)),
        bootstrap(before, gate.users, **options),  # type: ignore[arg-type]
        bootstrap(after, gate.users, **options),  # type: ignore[arg-type]
        difference,
    )
