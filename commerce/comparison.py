"""Systems side by side: every measure of every system on the same requests, with intervals and paired differences.

What comes out are the blocks ``systems``, ``paired`` and ``segments`` of ``metrics.json``: plain dictionaries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from commerce import diversity, exposure
from commerce.intervals import Drawn, Interval, draw_means
from commerce.metrics import RANKED, UNCUT, Found, Relevant, find
from commerce.segments import Segment, item_classes
from commerce.significance import enough_draws, holm, randomisation_test, sums_by_user

Measures = dict[str, dict[str, float]]
"""Name of a measure, ``recall@10``, to its value, low and high."""

TESTED = ("ndcg", "recall")
"""Measures of which a paired difference is tested, and so put into words, at the headline's cut-off."""

_CELLS = 16_000_000
"""Requests x measures drawn together: 128 MB."""


@dataclass(frozen=True)
class Asked:
    """The requests on which systems are compared."""

    users: NDArray[np.int32]
    """``[requests]``."""
    relevant: Relevant
    """At least one item per request."""
    catalogue: int
    """Number of items that could be shown."""
    facts: ItemFacts


@dataclass(frozen=True)
class ItemFacts:
    """What measures of lists ask about items; None where the shop does not tell."""

    events: NDArray[np.int64]
    """``[items]``: events of each item before the window."""
    category: NDArray[np.int32] | None = None
    """``[items]``: code of its leaf category, below 0 for none."""
    vectors: NDArray[np.float32] | None = None
    """``[items, dim]``, of unit length."""
    group: NDArray[np.int32] | None = None
    """``[items]``: code of the declared group whose exposure is compared, below 0 for none."""


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

    A paired difference in a measure of ``TESTED`` at the headline's cut-off holds two p-values of the randomisation
    test over users besides: ``p``, by itself, and ``p_holm``, corrected for all of them.
    """
    found = {name: find(ranked, asked.relevant) for name, ranked in lists.items()}
    cuts = sorted({*at, *segments_at})
    tail = item_classes(asked.facts.events)["tail"]
    listed = {name: _list_columns(ranked, asked.facts, tail, cuts, segments_at) for name, ranked in lists.items()}
    measured = _measure(lists, found, listed, asked, at, precision)
    systems = {name: system.measures(precision.confidence) for name, system in measured.items()}
    paired = {f"{a} - {b}": measured[a].against(measured[b], precision.confidence) for a, b in pairs}
    for pair, tests in _tests(found, asked.users, headline_cut(at), precision, pairs).items():
        for measure, p_values in tests.items():
            paired[pair][measure] |= p_values
    parts = {}
    for segment in segments:
        part = _measure_part(lists, found, listed, asked, segment, segments_at, precision)
        parts[segment.name] = {name: system.measures(precision.confidence) for name, system in part.items()}
    return systems, paired, parts


def headline_cut(at: Iterable[int]) -> int:
    """Return the cut-off that tables show first: 10 where it was measured, else the smallest."""
    cuts = list(at)
    return 10 if 10 in cuts else min(cuts)


def _tests(
    found: Mapping[str, Found],
    users: NDArray[np.int32],
    k: int,
    precision: Precision,
    pairs: Sequence[tuple[str, str]],
) -> dict[str, Measures]:
    """Return p-values by pair and measure."""
    tested = [(pair, name) for pair in pairs for name in TESTED]
    if not tested:
        return {}
    values = {(system, name): RANKED[name](found[system], k) for pair in pairs for system in pair for name in TESTED}
    everybody = np.unique(users)
    sums = [sums_by_user(values[a, name] - values[b, name], users, everybody) for (a, b), name in tested]
    draws = enough_draws(len(tested), precision.confidence)
    single = randomisation_test(np.stack(sums, axis=1), draws=draws, seed=precision.seed)
    tests: dict[str, Measures] = {}
    for ((a, b), name), p, corrected in zip(tested, single, holm(single), strict=True):
        tests.setdefault(f"{a} - {b}", {})[f"{name}@{k}"] = {
            "p": round(float(p), 6),
            "p_holm": round(float(corrected), 6),
        }
    return tests


Columns = Mapping[str, NDArray[np.float64]]
"""Measure -> a number per request, ``[requests]``."""


def _measure_part(
    lists: Mapping[str, NDArray[np.int32]],
    found: Mapping[str, Found],
    listed: Mapping[str, Columns],
    asked: Asked,
    segment: Segment,
    at: Sequence[int],
    precision: Precision,
) -> dict[str, Measured]:
    relevant = asked.relevant.only(segment.keep)
    some = relevant.counts > 0
    return _measure(
        {name: ranked[some] for name, ranked in lists.items()},
        {name: system.only(segment.keep) for name, system in found.items()},
        # What lists show to those who chose a cold item says nothing about cold items, so only finding them counts.
        None
        if segment.of_items
        else {name: {key: column[some] for key, column in columns.items()} for name, columns in listed.items()},
        replace(asked, users=asked.users[some], relevant=relevant.of(some)),
        at,
        precision,
    )


def _measure(
    lists: Mapping[str, NDArray[np.int32]],
    found: Mapping[str, Found],
    listed: Mapping[str, Columns] | None,
    asked: Asked,
    at: Sequence[int],
    precision: Precision,
) -> dict[str, Measured]:
    """Measure all systems on the same requests; users are drawn once for as many systems as memory allows."""
    systems, measured = list(lists), {}
    shown = [] if listed is None else [name for name in listed[systems[0]] if int(name.rpartition("@")[2]) in at]
    columns = len(RANKED) * len(at) + len(UNCUT) + len(shown)
    together = max(1, _CELLS // (len(asked.users) * columns))
    for start in range(0, len(systems), together):
        group = systems[start : start + together]
        values = [
            _found_columns(found[name], at) | ({} if listed is None else {key: listed[name][key] for key in shown})
            for name in group
        ]
        stacked = np.stack([column for of_system in values for column in of_system.values()], axis=1)
        drawn = draw_means(stacked, asked.users, resamples=precision.resamples, seed=precision.seed)
        for place, name in enumerate(group):
            own = slice(place * columns, (place + 1) * columns)
            spreads = {
                k: exposure.spread(
                    lists[name], asked.users, k, asked.catalogue, precision.seed, group=asked.facts.group
                )
                for k in (() if listed is None else at)
            }
            measured[name] = Measured(list(values[place]), drawn.of(own), spreads)
    return measured


def _found_columns(found: Found, at: Sequence[int]) -> dict[str, NDArray[np.float64]]:
    """Return where relevant items stand, as one column per measure and cut-off, ``[requests]`` each."""
    columns = {f"{name}@{k}": measure(found, k) for name, measure in RANKED.items() for k in at}
    return columns | {name: measure(found) for name, measure in UNCUT.items()}


def _list_columns(
    ranked: NDArray[np.int32],
    facts: ItemFacts,
    tail: NDArray[np.bool_],
    at: Sequence[int],
    diversity_at: Sequence[int],
) -> dict[str, NDArray[np.float64]]:
    """Return what lists are made of; pairs of items, which cost most, only at ``diversity_at``."""
    columns = {f"novelty@{k}": diversity.novelty(ranked, k, facts.events) for k in at}
    columns |= {f"tail_share@{k}": diversity.tail_share(ranked, k, tail) for k in at}
    for k in diversity_at:
        if facts.category is not None:
            columns[f"category_diversity@{k}"] = diversity.category_diversity(ranked, k, facts.category)
        if facts.vectors is not None:
            columns[f"vector_diversity@{k}"] = diversity.vector_diversity(ranked, k, facts.vectors)
    return columns


def _named(
    names: list[str], drawn: Drawn, spreads: Mapping[int, Sequence[exposure.Spread]], confidence: float
) -> Measures:
    intervals = dict(zip(names, drawn.intervals(confidence), strict=True))
    for k, found in spreads.items():
        for name, interval in zip(found[0].names, exposure.spread_intervals(found, confidence), strict=True):
            intervals[f"{name}@{k}"] = interval
    return {name: _rounded(interval) for name, interval in intervals.items()}


def _rounded(interval: Interval) -> dict[str, float]:
    return {name: round(number, 6) for name, number in interval.as_dict().items()}
