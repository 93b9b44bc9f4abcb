"""Two systems on the same requests: by how much they differ, in all and in each part, and whether that is luck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from commerce.intervals import Interval, draw_means
from commerce.metrics import RANKED, Found
from commerce.segments import Segment
from commerce.significance import holm, randomisation_test, sums_by_user, verdict

ALL = "all requests"
"""Name of the part that leaves nothing out."""


@dataclass(frozen=True)
class Difference:
    """One measure of two systems in one part of the requests."""

    metric: str
    part: str
    requests: int
    users: int
    first: float
    second: float
    interval: Interval
    """Of second - first, by itself: not widened for the number of comparisons."""
    p_value: float
    """Of the randomisation test; corrected for the family once ``corrected`` made it."""

    def verdict(self, confidence: float) -> str:
        """Say in words what the corrected p-value shows about the second system."""
        return verdict(self.interval.value, self.p_value, confidence)


def find_differences(
    first: Found,
    second: Found,
    users: NDArray[np.integer],
    metrics: Sequence[tuple[str, int]],
    segments: Sequence[Segment],
    *,
    resamples: int,
    draws: int,
    confidence: float,
    seed: int,
) -> list[Difference]:
    """Measure two systems on the same requests, in all of them and in each segment, with p-values as yet uncorrected.

    Args:
        first: where the first system put the relevant items.
        second: where the second put the same items.
        users: ``[requests]``.
        metrics: (name in ``RANKED``, cut-off).
        segments: parts, over the relevant items of these requests.
        resamples: of users, behind the intervals.
        draws: of the randomisation test.
        confidence: of the intervals.
        seed: of both.
    """
    everybody = np.unique(users)
    sums, found = [], []
    for segment in (None, *segments):
        one, other, owner = first, second, users
        if segment is not None:
            one, other = first.only(segment.keep), second.only(segment.keep)
            owner = users[first.relevant.only(segment.keep).counts > 0]
        values = np.stack([RANKED[name](system, k) for system in (one, other) for name, k in metrics], axis=1)
        drawn = draw_means(values, owner, resamples=resamples, seed=seed)
        split = len(metrics)
        apart = drawn.of(slice(split, None)) - drawn.of(slice(split))
        for place, interval in enumerate(apart.intervals(confidence)):
            sums.append(sums_by_user(values[:, split + place] - values[:, place], owner, everybody))
            found.append(
                Difference(
                    metric="{}@{}".format(*metrics[place]),
                    part=ALL if segment is None else segment.name,
                    requests=len(owner),
                    users=len(np.unique(owner)),
                    first=float(drawn.values[place]),
                    second=float(drawn.values[split + place]),
                    interval=interval,
                    p_value=1.0,
                )
            )
    p_values = randomisation_test(np.stack(sums, axis=1), draws=draws, seed=seed)
    return [replace(difference, p_value=float(p)) for difference, p in zip(found, p_values, strict=True)]


def corrected(family: Sequence[Difference]) -> list[Difference]:
    """Return the differences of one family with p-values corrected for their number (Holm)."""
    adjusted = holm(np.array([difference.p_value for difference in family]))
    return [replace(difference, p_value=float(p)) for difference, p in zip(family, adjusted, strict=True)]
