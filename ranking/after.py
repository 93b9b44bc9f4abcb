"""After ranking: the shop's own rules on a ranked list. NumPy only: ``rank``, evaluation and serving call this.

The first ``top`` places are filled one after another, each with the best candidate that the rules leave (the greedy
way of Carbonell & Goldstein 1998 and of Geyik, Ambler & Kenthapadi 2019). In this order: a pinned item stands where it
was pinned; a group whose floor would be missed goes first; a category that is full waits; of the rest the best by
maximal marginal relevance is taken. Everything below ``top`` follows by score.

Scores are made comparable within a list first (mean 0, spread 1), so that a boost means the same in every list,
whatever made its scores. The places keep their scores: what is returned falls along the list as before, and tells of
the place, not of the item that a rule put there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from ranking.floors import Floors
from ranking.fusion import standardise

Floats = NDArray[np.float32]
Codes = NDArray[np.int32]

KINDS = ("diversity", "categories", "pins", "boosts", "suppressed", "floors")
"""Rules by name, as prices are told."""
_BLOCK = 256
"""Lists arranged together: bounds memory, changes nothing."""


@dataclass(frozen=True)
class Rules:
    """What a shop asks of the head of every list; item arrays are in codes."""

    top: int
    """Places that are arranged."""
    diversity: float
    """Share of likeness in maximal marginal relevance; 0: off."""
    per_category: int
    """Items of one category among the first ``top``, at most; 0: any number."""
    category: Codes
    """``[items]``, -1 for an item without one, which is like no other."""
    pinned: Codes
    """``[pins]``."""
    places: Codes
    """``[pins]``, from 0, distinct."""
    boosted: Codes
    """``[boosts]``."""
    boosts: Floats
    """``[boosts]``: by how many spreads of its list's scores an item rises; below 0 it falls."""
    suppressed: Codes
    """Items that no list shows."""
    floors: NDArray[np.float64]
    """``[groups]``: share of the exposure of the first ``top`` places that each group gets at least; 0: none."""
    group: Codes
    """``[items]``, -1 for none."""
    category_names: NDArray[np.str_]
    """By code."""
    group_names: NDArray[np.str_]
    """By code."""

    def __post_init__(self) -> None:
        if len(self.category) != len(self.group):
            raise ValueError(f"categories of {len(self.category)} items and groups of {len(self.group)}; give both")

    @property
    def active(self) -> tuple[str, ...]:
        """Kinds of rules that do something."""
        on = (
            self.diversity > 0,
            self.per_category > 0,
            len(self.pinned),
            len(self.boosted),
            len(self.suppressed),
            self.floors.any(),
        )
        return tuple(name for name, there in zip(KINDS, on, strict=True) if there)

    def without(self, kind: str) -> Rules:
        """Return the rules with one of ``KINDS`` off."""
        none = np.empty(0, dtype=np.int32)
        off: dict[str, dict[str, object]] = {
            "diversity": {"diversity": 0.0},
            "categories": {"per_category": 0},
            "pins": {"pinned": none, "places": none},
            "boosts": {"boosted": none, "boosts": none.astype(np.float32)},
            "suppressed": {"suppressed": none},
            "floors": {"floors": np.zeros_like(self.floors)},
        }
        return replace(self, **off[kind])  # type: ignore[arg-type]

    def grown(self, categories: list[str], groups: list[str]) -> Rules:
        """Return the rules of a catalogue with further items; a name that is new makes an item like no other."""
        return replace(
            self,
            category=np.concatenate([self.category, _codes(categories, self.category_names)]),
            group=np.concatenate([self.group, _codes(groups, self.group_names)]),
        )

    def save(self, path: Path) -> None:
        """Write all of it as one ``.npz`` without pickles."""
        np.savez(path, **{name: np.asarray(value) for name, value in vars(self).items()})  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Rules:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            held = {name: arrays[name] for name in arrays.files}
        single = {"top": int, "diversity": float, "per_category": int}
        return cls(**{name: single[name](value) if name in single else value for name, value in held.items()})


@dataclass(frozen=True)
class Arranged:
    """Lists as the rules leave them, and where a rule could not be kept; arrays are ``[requests]`` unless said."""

    items: Codes
    """``[requests, length]``, ``NO_ITEM`` padded."""
    scores: Floats
    """``[requests, length]``: of the places, falling; -inf past a list's end."""
    over: NDArray[np.int64]
    """Items above their category's cap, because the list would have run short."""
    unmet: NDArray[np.int64]
    """Groups whose floor is missed, because the candidates hold too few of their items."""
    unpinned: NDArray[np.int64]
    """Pinned items that the request may not be shown."""

    def notes(self) -> list[str]:
        """Say, for a person, in how many lists a rule could not be kept."""
        return [f"{int(rows.sum()):,} of {len(rows):,} lists: {why}" for why, rows in self._broken() if rows.any()]

    def said(self) -> list[str]:
        """Say the same of a single list."""
        return [f"after ranking: {why}" for why, rows in self._broken() if rows.any()]

    def _broken(self) -> list[tuple[str, NDArray[np.bool_]]]:
        return [
            ("more of a category than after.per_category, else the list would run short", self.over > 0),
            ("a floor of after.floors is missed, too few candidates are of the group", self.unmet > 0),
            ("a pinned item may not be shown to this request", self.unpinned > 0),
        ]


def arrange(
    items: Codes,
    scores: Floats,
    rules: Rules,
    vectors: Floats,
    pinnable: NDArray[np.bool_],
    variants: Codes | None = None,
) -> Arranged:
    """Put ranked lists under the rules.

    Args:
        items: ``[requests, length]``, best first, distinct, ``NO_ITEM`` past a list's end.
        scores: ``[requests, length]``, falling.
        rules: the shop's.
        vectors: ``[items of the catalogue, dim]``, unit length: how like two items are.
        pinnable: ``[requests, pins]``: whether each pinned item may be shown.
        variants: ``[items of the catalogue]``: of a group one item stands in a list; a pinned one takes the place of
            its variants. None: all may stand side by side.
    """
    blocks = list(_blocks(len(items)))
    parts = [_arrange(items[rows], scores[rows], rules, vectors, pinnable[rows], variants) for rows in blocks]
    if not parts:
        nobody = np.zeros(0, dtype=np.int64)
        return Arranged(items, scores, nobody, nobody, nobody)
    return Arranged(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))


def _arrange(
    items: Codes,
    scores: Floats,
    rules: Rules,
    vectors: Floats,
    pinnable: NDArray[np.bool_],
    variants: Codes | None,
) -> Arranged:
    items, scores = _drop(items, scores, np.isin(items, rules.suppressed))
    pool, pool_scores = _drop(items, scores, _pinned_or_variant(items, rules, pinnable, variants))
    asked = _pins(rules, pinnable, (pool != NO_ITEM).sum(axis=1))
    head = _Head(pool, _relevance(pool, pool_scores, rules), rules, vectors, asked)
    for place in range(min(rules.top, items.shape[1])):
        head.fill(place)
    shown = head.whole()
    return Arranged(shown, _of_places(shown, scores), head.over, head.unmet(), (~pinnable).sum(axis=1))


def _relevance(pool: Codes, scores: Floats, rules: Rules) -> NDArray[np.float64]:
    """Return comparable scores with the boosts added, ``[requests, length]``, -inf past a list's end."""
    kept = pool != NO_ITEM
    relevance = standardise(np.where(kept, scores, 0.0).astype(np.float32), kept).astype(np.float64)
    for item, boost in zip(rules.boosted.tolist(), rules.boosts.tolist(), strict=True):
        relevance += boost * (pool == item)
    return np.where(kept, relevance, -np.inf)


class _Head:
    """The arranged places of a block of lists while they are filled."""

    def __init__(
        self, pool: Codes, relevance: NDArray[np.float64], rules: Rules, vectors: Floats, asked: Codes
    ) -> None:
        self.pool, self.relevance, self.rules, self.asked = pool, relevance, rules, asked
        self._vectors = vectors
        self._of_pool = vectors[np.maximum(pool, 0)] if rules.diversity > 0 else None
        self._likeness = np.zeros(pool.shape, dtype=np.float64)
        self._category = np.where(pool >= 0, rules.category[np.maximum(pool, 0)], -1)
        self._left = pool != NO_ITEM
        self._shown: list[Codes] = []
        self.over = np.zeros(len(pool), dtype=np.int64)
        sizes = self._left.sum(axis=1) + (asked >= 0).sum(axis=1)
        self._floors = Floors(rules.floors, rules.group, asked[:, : rules.top], np.minimum(sizes, rules.top))

    def fill(self, place: int) -> None:
        """Choose the item of one place in every list."""
        rows = np.arange(len(self.pool))
        pinned = self.asked[:, place]
        free = pinned == NO_ITEM
        worth = (1.0 - self.rules.diversity) * self.relevance - self.rules.diversity * self._likeness
        fits = self._left & ~self._full()
        # A list that only full categories could fill is filled by them rather than run short.
        fits = np.where(fits.any(axis=1, keepdims=True), fits, self._left)
        fits = self._floors.first(place, fits, self.pool)
        column = np.argmax(np.where(fits, worth, -np.inf), axis=1)
        chosen = np.where(free & fits[rows, column], self.pool[rows, column], NO_ITEM)
        taken = free & (chosen != NO_ITEM)
        self.over += taken & self._full()[rows, column]
        self._left[rows[taken], column[taken]] = False
        shown = np.where(free, chosen, pinned).astype(np.int32)
        self._shown.append(shown)
        self._floors.count(place, shown, pinned != NO_ITEM)
        if self._of_pool is not None:
            like = np.einsum("rld,rd->rl", self._of_pool, self._vectors[np.maximum(shown, 0)])
            near = np.where((shown >= 0)[:, None], like, -np.inf)
            self._likeness = near if place == 0 else np.maximum(self._likeness, near)
            self._likeness = np.where(np.isfinite(self._likeness), self._likeness, 0.0)

    def _full(self) -> NDArray[np.bool_]:
        """Return which candidates' categories have as many items as they may, ``[requests, length]``."""
        full = np.zeros(self.pool.shape, dtype=bool)
        if not self.rules.per_category or not self._shown:
            return full
        above = np.stack(self._shown, axis=1)
        of_above = np.where(above >= 0, self.rules.category[np.maximum(above, 0)], -1)
        alike = (self._category[:, :, None] == of_above[:, None, :]) & (self._category >= 0)[:, :, None]
        return np.asarray(alike.sum(axis=2) >= self.rules.per_category)

    def unmet(self) -> NDArray[np.int64]:
        """Return how many groups missed their floor, ``[requests]``."""
        return self._floors.missed()

    def whole(self) -> Codes:
        """Return the arranged places and, below them, what is left by relevance; pins that found no place come last."""
        width = self.pool.shape[1]
        worth = np.where(self._left, self.relevance, -np.inf)
        order = np.argsort(-worth, axis=1, kind="stable")
        rest = np.where(np.take_along_axis(self._left, order, axis=1), np.take_along_axis(self.pool, order, axis=1), -1)
        late = self.asked[:, len(self._shown) :]
        whole = np.concatenate([*(column[:, None] for column in self._shown), late, rest], axis=1)
        order = np.argsort(whole == NO_ITEM, axis=1, kind="stable")
        return np.take_along_axis(whole, order, axis=1)[:, :width].astype(np.int32)


def _pins(rules: Rules, pinnable: NDArray[np.bool_], others: NDArray[np.int64]) -> Codes:
    """Return the pinned item of each place, ``[requests, top]``, ``NO_ITEM`` where none is.

    With too few ``others`` (``[requests]``) to reach its place, a pinned item stands right behind them.
    """
    asked = np.full((len(pinnable), rules.top), NO_ITEM, dtype=np.int32)
    reach = others.copy()
    for pin in np.argsort(rules.places):
        rows = np.flatnonzero(pinnable[:, pin])
        asked[rows, np.minimum(rules.places[pin], reach[rows])] = rules.pinned[pin]
        reach[rows] += 1
    return asked


def _pinned_or_variant(
    items: Codes, rules: Rules, pinnable: NDArray[np.bool_], variants: Codes | None
) -> NDArray[np.bool_]:
    """Return which candidates leave the list because they, or a variant of theirs, are pinned in it."""
    taken = np.zeros(items.shape, dtype=bool)
    for pin, item in enumerate(rules.pinned.tolist()):
        same = items == item if variants is None else variants[np.maximum(items, 0)] == variants[item]
        taken |= same & (items != NO_ITEM) & pinnable[:, pin, None]
    return taken


def _drop(items: Codes, scores: Floats, drop: NDArray[np.bool_]) -> tuple[Codes, Floats]:
    """Take items out of their lists; what stood below moves up and keeps its score."""
    if not drop.any():
        return items, scores
    gone = drop | (items == NO_ITEM)
    order = np.argsort(gone, axis=1, kind="stable")
    kept = ~np.take_along_axis(gone, order, axis=1)
    left = np.where(kept, np.take_along_axis(items, order, axis=1), NO_ITEM).astype(np.int32)
    return left, np.where(kept, np.take_along_axis(scores, order, axis=1), -np.inf).astype(np.float32)


def _of_places(shown: Codes, scores: Floats) -> Floats:
    """Return the score of each place that is filled: the one that stood there before, the last one below the end."""
    held = np.where(np.isfinite(scores), scores, np.inf)
    lowest = np.minimum.accumulate(held, axis=1)
    lowest = np.where(np.isfinite(lowest), lowest, 0.0)
    return np.where(shown != NO_ITEM, lowest, -np.inf).astype(np.float32)


def _codes(names: list[str], known: NDArray[np.str_]) -> Codes:
    codes = {name: code for code, name in enumerate(known.tolist())}
    return np.array([codes.get(name, -1) for name in names], dtype=np.int32)


def _blocks(rows: int) -> Iterator[slice]:
    for start in range(0, rows, _BLOCK):
        yield slice(start, start + _BLOCK)
