"""Systems side by side: every measure of every system on the same requests, with intervals and paired differences.

What comes out are the blocks ``systems``, ``paired`` and ``segments`` of ``metrics.json``: plain dictionaries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce import exposure
from commerce.intervals import Drawn, Interval, draw_means
from commerce.metrics import RANKED, Found, Relevant, find
from commerce.segments import Segment

Measures = dict[str, dict[str, float]]
"""Name of a measure, ``recall@10``, to its value, low and high."""


@dataclass(frozen=True)
class Asked:
    """The requests on which systems are compared."""

    users: NDArray[np.int32]
    """``[requests]``."""
    relevant: Relevant
    """At least one item per request."""
    catalogue: int
    """Number of items that could be shown."""
    events: NDArray[np.int64]
    """``[items]``: events of each item before the window, for novelty."""


@dataclass(frozen=True)
class Precision:
    """How sure the numbers shall be."""

    resamples: int
    confidence: float
    seed: int


@dataclass(frozen=True)
class Measured:
    """One system's measures, and what they are when users are drawn anew."""

    names: list[str]
    drawn: Drawn
    spreads: dict[int, exposure.Spread]
    """By cut-off; empty in a segment of items."""

    def measures(self, confidence: float) -> Measures:
        """Return the interval of each measure."""
        return _named(self.names, self.drawn, {k: [found] for k, found in self.spreads.items()}, confidence)

    def against(self, other: Measured, confidence: float) -> Measures:
        """Return the interval of each measure's difference to ``other``, measured on the same requests."""
        spreads = {k: [found, other.spreads[k]] for k, found in self.spreads.items()}
        return _named(self.names, self.drawn - other.drawn, spreads, confidence)


def compare(
    lists: Mapping[str, NDArray[np.int32]],
    asked: Asked,
    at: Sequence[int],
    precision: Precision,
    pairs: Sequence[tuple[str, str]],
    segments: Sequence[Segment],
    segments_at: Sequence[int],
) -> tuple[dict[str, Measures], dict[str, Measures], dict[str, dict[str, Measures]]]:
    """Measure every system and return the blocks ``systems``, ``paired`` and ``segments``.

    Args:
        lists: system -> ranked items ``[requests, depth]``, best first, ``NO_ITEM`` padded.
        asked: the requests.
        at: cut-offs.
        precision: of the intervals.
        pairs: (a, b) of which a - b is measured.
        segments: parts that are measured by themselves.
        segments_at: cut-offs in those.
    """
    measured: dict[str, Measured] = {}
    parts: dict[str, dict[str, Measures]] = {segment.name: {} for segment in segments}
    for name, ranked in lists.items():
        found = find(ranked, asked.relevant)
        measured[name] = _measure(ranked, found, asked, at, precision)
        for segment in segments:
            part = _measure_part(ranked, found, asked, segment, segments_at, precision)
            parts[segment.name][name] = part.measures(precision.confidence)
    systems = {name: system.measures(precision.confidence) for name, system in measured.items()}
    paired = {f"{a} - {b}": measured[a].against(measured[b], precision.confidence) for a, b in pairs}
    return systems, paired, parts


def _measure(
    ranked: NDArray[np.int32], found: Found, asked: Asked, at: Sequence[int], precision: Precision
) -> Measured:
    values = {f"{name}@{k}": measure(found, k) for name, measure in RANKED.items() for k in at}
    values |= {f"novelty@{k}": exposure.novelty(ranked, k, asked.events) for k in at}
    spreads = {k: exposure.spread(ranked, asked.users, k, asked.catalogue, precision.seed) for k in at}
    return Measured(list(values), _draw(values, asked.users, precision), spreads)


def _measure_part(
    ranked: NDArray[np.int32],
    found: Found,
    asked: Asked,
    segment: Segment,
    at: Sequence[int],
    precision: Precision,
) -> Measured:
    has_any = asked.relevant.only(segment.keep).counts > 0
    users, part = asked.users[has_any], found.only(segment.keep)
    if not segment.of_items:
        return _measure(
            ranked[has_any], part, Asked(users, part.relevant, asked.catalogue, asked.events), at, precision
        )
    # What lists show to those who chose a cold item says nothing about cold items, so only finding them is measured.
    values = {f"{name}@{k}": measure(part, k) for name, measure in RANKED.items() for k in at}
    return Measured(list(values), _draw(values, users, precision), {})


def _draw(values: dict[str, NDArray[np.float64]], users: NDArray[np.int32], precision: Precision) -> Drawn:
    columns = np.stack(list(values.values()), axis=1)
    return draw_means(columns, users, resamples=precision.resamples, seed=precision.seed)


def _named(
    names: list[str], drawn: Drawn, spreads: Mapping[int, Sequence[exposure.Spread]], confidence: float
) -> Measures:
    intervals = dict(zip(names, drawn.intervals(confidence), strict=True))
    for k, found in spreads.items():
        for name, interval in zip(exposure.NAMES, exposure.spread_intervals(found, confidence), strict=True):
            intervals[f"{name}@{k}"] = interval
    return {name: _rounded(interval) for name, interval in intervals.items()}


def _rounded(interval: Interval) -> dict[str, float]:
    return {name: round(number, 6) for name, number in interval.as_dict().items()}
