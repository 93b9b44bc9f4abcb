"""Profiles: what a user's history says of them, for people and other systems to read.

Tags are values of item features (``category: Tea``). A user's strength for a tag is the share that the tag has of what
they did: events count by action, half as much after a half-life, and searches by the tags of the items that users went
on to from them. It is mixed with everybody's share (a Dirichlet prior), so that few events say little.

NumPy, a block of users at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, DAY, INTENTS, NO_ITEM, NO_QUERY
from commerce.features import category_name
from commerce.histories import Histories
from commerce.stretches import stretches
from commerce.texts import leaf_category

BLOCK_USERS = 8_192
WEIGHTS = {"search": 1.0, "view": 1.0, "favorite": 2.0, "cart": 3.0, "purchase": 5.0}
"""What an event of each action counts; others count nothing."""
PRIOR = 10.0
"""Weight of everybody's shares in a user's: two purchases of one item with one tag of a kind, say."""
SEGMENTS = ("new", "frequent", "regular", "fading", "gone", "silent")
_NEW_DAYS = 28.0
_FADING, _GONE = 2.0, 6.0
"""Times the user's own usual pause between sessions after which they are fading, and gone."""
_LEAST_PAUSE = 7.0
"""Days; a shorter usual pause counts as this, so that a busy week does not make a quiet one look like leaving."""
_HOUR = DAY // 24
_FIRST_WEEKDAY = 3
"""1970-01-01 was a Thursday; Monday is 0."""
PARTS_OF_DAY = ("night", "morning", "afternoon", "evening")
"""Six hours each, from 0:00 UTC."""


@dataclass(frozen=True)
class ItemTags:
    """Which tags each item has."""

    names: list[str]
    """Value, by tag code."""
    kind: NDArray[np.int32]
    """``[tags]``: place of the tag's feature in ``kinds``."""
    kinds: list[str]
    """Names of the features."""
    of_item: sp.csr_matrix
    """float32 ``[items, tags]``, 1 where the item has the tag."""

    @classmethod
    def of(
        cls, columns: Mapping[str, Sequence[Any]], category: str, items: int, sensitive: NDArray[np.bool_] | None = None
    ) -> ItemTags:
        """Make tags of feature columns.

        Args:
            columns: feature to its value for each item.
            category: the one that holds category paths, of which the leaf is the tag; may be none of them.
            items: number of items.
            sensitive: ``[items]``, items that give no tags.
        """
        names, kinds, of_tag, rows, tags = list[str](), list(columns), list[int](), list[int](), list[int]()
        for place, (feature, values) in enumerate(columns.items()):
            codes: dict[str, int] = {}
            for item, value in enumerate(values):
                name = leaf_category(value) if feature == category else category_name(value)
                if not name or (sensitive is not None and sensitive[item]):
                    continue
                code = codes.setdefault(name, len(names))
                if code == len(names):
                    names.append(name)
                    of_tag.append(place)
                rows.append(item)
                tags.append(code)
        shape = (items, len(names))
        of_item = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, tags)), shape=shape)
        return cls(names, np.array(of_tag, dtype=np.int32), kinds, of_item)


@dataclass(frozen=True)
class Tagging:
    """How events become strengths, as known at some moment."""

    tags: ItemTags
    of_query: sp.csr_matrix
    """float32 ``[queries, tags]``: share of what a query led to that has the tag; rows of rare queries are empty."""
    shares: NDArray[np.float64]
    """``[tags]``: everybody's; of each kind they sum to 1."""
    halflife_days: float

    def strengths(self, weights: sp.csr_matrix) -> NDArray[np.float32]:
        """Return the strengths, ``[users, tags]``, of weighed tags; of each kind they sum to 1."""
        strengths = np.zeros(weights.shape, dtype=np.float32)
        for kind in range(len(self.tags.kinds)):
            own = np.flatnonzero(self.tags.kind == kind)
            counted = weights[:, own].toarray() + PRIOR * self.shares[own]
            strengths[:, own] = counted / np.maximum(counted.sum(axis=1, keepdims=True), 1e-12)
        return strengths


def learn_tagging(
    histories: Histories,
    ends: NDArray[np.int64],
    moments: NDArray[np.int64],
    tags: ItemTags,
    told: NDArray[np.bool_],
    halflife_days: float,
) -> Tagging:
    """Count what queries led to and what everybody did, before each user's end.

    Args:
        histories: of all users.
        ends: ``[users]``, absolute positions where what may be counted ends.
        moments: ``[users]``, microseconds: to which each user's events are aged.
        tags: of the items.
        told: ``[queries]``, whether enough users typed the query; others lead to nothing.
        halflife_days: days after which an event counts half.
    """
    told = np.append(told, False)  # at NO_QUERY
    led = sp.csr_matrix((len(told), len(tags.names)), dtype=np.float32)
    for block in _blocks(histories, ends):
        query = np.where(told[block.query], block.query, NO_QUERY).astype(np.int32)
        query = _asked_before(block, query)
        met = (block.item != NO_ITEM) & (query != NO_QUERY)
        ones = np.ones(int(met.sum()), dtype=np.float32)
        pairs = sp.csr_matrix((ones, (query[met], block.item[met])), shape=(len(told), tags.of_item.shape[0]))
        led = led + pairs @ tags.of_item
    of_query = _shares_by_kind(led, tags)
    tagging = Tagging(tags, of_query, np.zeros(len(tags.names)), halflife_days)
    everybody = np.zeros(len(tags.names))
    for _, weights in weigh(histories, ends, moments, tagging):
        everybody += np.asarray(weights.sum(axis=0)).ravel()
    totals = np.bincount(tags.kind, weights=everybody, minlength=len(tags.kinds))
    shares = everybody / np.maximum(totals[tags.kind], 1e-12)
    return Tagging(tags, of_query, shares, halflife_days)


def weigh(
    histories: Histories, ends: NDArray[np.int64], moments: NDArray[np.int64], tagging: Tagging
) -> Iterator[tuple[slice, sp.csr_matrix]]:
    """Yield (users, weights of their tags ``[users, tags]``), a block at a time, from events before each user's end."""
    by_action = np.zeros(len(ACTION_CODES), dtype=np.float32)
    for action, weight in WEIGHTS.items():
        by_action[ACTION_CODES[action]] = weight
    for block in _blocks(histories, ends):
        users = slice(block.first, block.first + block.users)
        age = np.maximum(moments[users][block.user] - block.time, 0) / DAY
        weight = (by_action[block.action] * 0.5 ** (age / tagging.halflife_days)).astype(np.float32)
        total = sp.csr_matrix((block.users, len(tagging.tags.names)), dtype=np.float32)
        met = block.item != NO_ITEM
        # A query beside an item says nothing that the item does not.
        searched = ~met & (block.query != NO_QUERY)
        for code, matrix, there in (
            (block.item, tagging.tags.of_item, met),
            (block.query, tagging.of_query, searched),
        ):
            said = sp.csr_matrix(
                (weight[there], (block.user[there], code[there])),
                shape=(block.users, matrix.shape[0]),
                dtype=np.float32,
            )
            total = total + said @ matrix
        yield users, total.tocsr()


@dataclass(frozen=True)
class Behaviour:
    """Numbers of a block of users; arrays are ``[users]`` unless said, NaN where there is nothing to count."""

    events: NDArray[np.int64]
    sessions: NDArray[np.int64]
    active_days: NDArray[np.int64]
    pause_days: NDArray[np.float32]
    """Median days between the beginnings of sessions."""
    days_since: NDArray[np.float32]
    """Days from the last event to the moment."""
    weekend_share: NDArray[np.float32]
    part_of_day: NDArray[np.int8]
    """Place in ``PARTS_OF_DAY`` of the one with most events, -1 without events."""
    price_low: NDArray[np.float32]
    price_median: NDArray[np.float32]
    price_high: NDArray[np.float32]
    """Quartiles of the prices of items that were chosen (else met)."""
    price_level: NDArray[np.float32]
    """Mean place of these items among those of their leaf category, from 0 (cheapest) to 1."""
    intents: NDArray[np.float32]
    """``[users, 3]``: shares of the positions that show an intent."""
    segment: NDArray[np.int8]
    """Place in ``SEGMENTS``."""


def describe_behaviour(
    histories: Histories,
    ends: NDArray[np.int64],
    moments: NDArray[np.int64],
    prices: NDArray[np.float32],
    levels: NDArray[np.float32],
    labels: NDArray[np.int8],
    chosen: Sequence[str],
) -> Iterator[tuple[slice, Behaviour]]:
    """Yield (users, their numbers), a block at a time, from events before each user's end.

    Args:
        histories: of all users.
        ends: ``[users]``, absolute positions.
        moments: ``[users]``, microseconds: the time of the profile.
        prices: ``[items]``, NaN where unknown.
        levels: ``[items]``, as ``price_levels`` gives them.
        labels: ``[events]``, intents of the positions, -1 without.
        chosen: actions by which an item is chosen.
    """
    actions = [ACTION_CODES[action] for action in chosen]
    for block in _blocks(histories, ends):
        users = slice(block.first, block.first + block.users)
        yield users, _behaviour(block, moments[users], prices, levels, labels, actions)


def price_levels(prices: NDArray[np.float32], leaf: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return each item's place among the prices of its leaf (-1: of those without one), 0 to 1, NaN without price."""
    levels = np.full(len(prices), np.nan, dtype=np.float32)
    known = np.flatnonzero(np.isfinite(prices))
    order = known[np.lexsort((prices[known], leaf[known]))]
    _, starts, counts = np.unique(leaf[order], return_index=True, return_counts=True)
    for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
        own = order[start : start + count]
        _, place, times = np.unique(prices[own], return_inverse=True, return_counts=True)
        # Equal prices stand at the middle of the places that they take.
        middle = np.cumsum(times) - times + (times - 1) / 2
        levels[own] = middle[place] / max(count - 1, 1) if count > 1 else 0.5
    return levels


@dataclass(frozen=True)
class _Block:
    """Events of some users before their ends; arrays are ``[events]``, users counted from the block's first."""

    first: int
    users: int
    place: NDArray[np.int64]
    user: NDArray[np.int64]
    item: NDArray[np.int32]
    action: NDArray[np.uint8]
    time: NDArray[np.int64]
    query: NDArray[np.int32]
    session: NDArray[np.int64]


def _blocks(histories: Histories, ends: NDArray[np.int64]) -> Iterator[_Block]:
    for first in range(0, histories.users, BLOCK_USERS):
        last = min(first + BLOCK_USERS, histories.users)
        starts = histories.offsets[first:last]
        user, place = stretches(starts, ends[first:last] - starts)
        yield _Block(
            first,
            last - first,
            place,
            user,
            np.asarray(histories.item[place]),
            np.asarray(histories.action[place]),
            np.asarray(histories.time[place]),
            np.asarray(histories.query[place]),
            np.asarray(histories.session[place]),
        )


def _asked_before(block: _Block, query: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return, for each event, the latest query of its user's session up to it, ``NO_QUERY`` without one."""
    place = np.arange(len(query))
    latest = np.maximum.accumulate(np.where(block.query != NO_QUERY, place, -1))
    known = np.maximum(latest, 0)
    same = (latest >= 0) & (block.user[known] == block.user) & (block.session[known] == block.session)
    return np.where(same, query[known], NO_QUERY).astype(np.int32)


def _shares_by_kind(counts: sp.csr_matrix, tags: ItemTags) -> sp.csr_matrix:
    """Divide each row by its sum over the tags of a kind, kind by kind."""
    found = counts.tocoo()
    kind = tags.kind[found.col]
    keys = found.row.astype(np.int64) * max(len(tags.kinds), 1) + kind
    totals = np.bincount(keys, weights=found.data, minlength=1)
    return sp.csr_matrix((found.data / totals[keys], (found.row, found.col)), shape=counts.shape, dtype=np.float32)


def _behaviour(
    block: _Block,
    moments: NDArray[np.int64],
    prices: NDArray[np.float32],
    levels: NDArray[np.float32],
    labels: NDArray[np.int8],
    chosen: Sequence[int],
) -> Behaviour:
    count = np.bincount(block.user, minlength=block.users)
    new_user = np.diff(block.user, prepend=-1) != 0
    begins = new_user | (np.diff(block.session, prepend=-1) != 0)
    day = block.time // DAY
    new_day = new_user | (np.diff(day, prepend=-1) != 0)
    part = np.bincount(block.user * 4 + (block.time % DAY) // (6 * _HOUR), minlength=4 * block.users).reshape(-1, 4)
    weekend = np.bincount(block.user, weights=(day + _FIRST_WEEKDAY) % 7 >= 5, minlength=block.users)
    last = np.full(block.users, np.iinfo(np.int64).min)
    np.maximum.at(last, block.user, block.time)
    since = np.where(count > 0, (moments - np.maximum(last, 0)) / DAY, np.nan)
    first = np.full(block.users, np.iinfo(np.int64).max)
    np.minimum.at(first, block.user, block.time)
    age = np.where(count > 0, (moments - np.minimum(first, moments)) / DAY, np.nan)
    paused = block.user[begins][1:] == block.user[begins][:-1]
    pauses = np.diff(block.time[begins])[paused] / DAY
    pause = _quantile(block.user[begins][1:][paused], pauses, block.users, 0.5)
    low, median, high, level = _prices(block, prices, levels, chosen)
    shown = labels[block.place]
    intents = np.stack(
        [np.bincount(block.user[shown == code], minlength=block.users) for code in range(len(INTENTS))], axis=1
    )
    whole = intents.sum(axis=1, keepdims=True)
    sessions = np.bincount(block.user[begins], minlength=block.users)
    return Behaviour(
        events=count,
        sessions=sessions,
        active_days=np.bincount(block.user[new_day], minlength=block.users),
        pause_days=pause,
        days_since=since.astype(np.float32),
        weekend_share=np.where(count > 0, weekend / np.maximum(count, 1), np.nan).astype(np.float32),
        part_of_day=np.where(count > 0, part.argmax(axis=1), -1).astype(np.int8),
        price_low=low,
        price_median=median,
        price_high=high,
        price_level=level,
        intents=np.where(whole > 0, intents / np.maximum(whole, 1), np.nan).astype(np.float32),
        segment=segment_of(sessions, pause, since, age),
    )


def segment_of(
    sessions: NDArray[np.integer], pause: NDArray[np.floating], since: NDArray[np.floating], age: NDArray[np.floating]
) -> NDArray[np.int8]:
    """Return the segment of each user, a place in ``SEGMENTS``.

    ``silent``: no events. ``gone`` and ``fading``: away for 6 and 2 times their usual pause. ``new``: first seen within
    28 days. ``frequent``: a usual pause of a week at most. All others are ``regular``.

    Args:
        sessions: ``[users]``.
        pause: ``[users]``, median days between sessions, NaN with fewer than two.
        since: ``[users]``, days since the last event, NaN without any.
        age: ``[users]``, days since the first one.
    """
    usual = np.maximum(np.where(np.isfinite(pause), pause, _NEW_DAYS), _LEAST_PAUSE)
    rules = {
        "silent": sessions == 0,
        "gone": since > _GONE * usual,
        "fading": since > _FADING * usual,
        "new": age <= _NEW_DAYS,
        "frequent": pause <= _LEAST_PAUSE,
    }
    choices = [SEGMENTS.index(name) for name in rules]
    return np.select(list(rules.values()), choices, SEGMENTS.index("regular")).astype(np.int8)


def _prices(
    block: _Block, prices: NDArray[np.float32], levels: NDArray[np.float32], chosen: Sequence[int]
) -> tuple[NDArray[np.float32], ...]:
    """Return quartiles and mean level of the prices of what was chosen; of what was met, where nothing was chosen."""
    met = block.item != NO_ITEM
    met &= np.isfinite(prices[np.maximum(block.item, 0)])
    picked = met & np.isin(block.action, chosen)
    has = np.bincount(block.user[picked], minlength=block.users) > 0
    counts = picked | (met & ~has[block.user])
    user, item = block.user[counts], block.item[counts]
    quartiles = (_quantile(user, prices[item], block.users, share) for share in (0.25, 0.5, 0.75))
    number = np.bincount(user, minlength=block.users)
    mean = np.bincount(user, weights=levels[item], minlength=block.users) / np.maximum(number, 1)
    return (*quartiles, np.where(number > 0, mean, np.nan).astype(np.float32))


def _quantile(user: NDArray[np.int64], values: NDArray[np.floating], users: int, share: float) -> NDArray[np.float32]:
    """Return a quantile of each user's values (the nearest one below), ``[users]``, NaN without any."""
    order = np.lexsort((values, user))
    counts = np.bincount(user, minlength=users)
    starts = np.cumsum(counts) - counts
    place = starts + np.maximum(counts - 1, 0) * share
    found = np.full(users, np.nan, dtype=np.float32)
    known = counts > 0
    found[known] = values[order][np.floor(place[known]).astype(np.int64)]
    return found
