"""What a model is told about a user at a moment: the one implementation, for training, ranking and serving.

NumPy only. The caller passes the events that are visible (strictly earlier than the moment); nothing here
looks further.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, DAY, INTENTS, NO_ITEM, NO_QUERY
from commerce.edges import Edges
from commerce.features import UNKNOWN, Vocabulary
from commerce.histories import Events

HOUR = 3_600 * 1_000_000


@dataclass(frozen=True)
class TowerInputs:
    """What the behaviour encoder reads for ``batch`` users; padding stands at the end of a row.

    Arrays are ``[batch, length]``.
    """

    item: NDArray[np.int64]
    """Item code, ``NO_ITEM`` for searches and padding."""
    query: NDArray[np.int64]
    """Query code, ``NO_QUERY`` for events without and padding."""
    action: NDArray[np.int64]
    """Action code + 1; 0 is padding."""
    gap: NDArray[np.float32]
    """log(1 + hours) since the event before, 0 for the first."""
    count: NDArray[np.int64]
    """``[batch]``: events in the row; the user's state is read at ``count - 1``."""


def gaps(time: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return log(1 + hours) from each event's predecessor to it, 0 for the first; ``time`` is in microseconds."""
    hours = np.diff(time, prepend=time[:1]) / HOUR
    return np.log1p(np.maximum(hours, 0.0)).astype(np.float32)


def tower_inputs(histories: Sequence[Events], length: int) -> TowerInputs:
    """Lay the last ``length`` visible events of each user into padded rows.

    A current query belongs at the end of its user's events as a search event. A user without events gets an
    empty row (count 0).
    """
    kept = [events.last(length) for events in histories]
    shape = (len(kept), length)
    item = np.full(shape, NO_ITEM, dtype=np.int64)
    query = np.full(shape, NO_QUERY, dtype=np.int64)
    action = np.zeros(shape, dtype=np.int64)
    gap = np.zeros(shape, dtype=np.float32)
    for row, events in enumerate(kept):
        n = len(events)
        item[row, :n] = events.item
        query[row, :n] = events.query
        action[row, :n] = events.action.astype(np.int64) + 1
        gap[row, :n] = gaps(events.time)
    return TowerInputs(item, query, action, gap, np.array([len(events) for events in kept], dtype=np.int64))


def with_query(events: Events, query: int, moment: int) -> Events:
    """Return ``events`` with a search for ``query`` at ``moment`` as the last one; unchanged without a query."""
    if query == NO_QUERY:
        return events
    return Events(
        np.append(events.item, np.int32(NO_ITEM)),
        np.append(events.action, np.uint8(0)),
        np.append(events.time, np.int64(moment)),
        np.append(events.query, np.int32(query)),
    )


# What the ranker is told: a context in words, and numbers about each (request, candidate).

RECENT_ITEMS = 5
"""Items of the history whose texts enter the context; those before are told by numbers only."""
RECENT_SEARCHES = 2
TEXT_CUT = 48
"""Characters of a recent item's text or a search in the context: more of them say more than the end of one does."""
ASSOCIATED = 10
"""Distinct recent items that a candidate's associations and similarities are counted over."""


class Texts(Protocol):
    """Texts by code: a list, or a file of which only what is asked for is read."""

    def __getitem__(self, code: int, /) -> str:
        """Return one text."""


def context_text(
    events: Events,
    item_texts: Texts,
    query_texts: Texts,
    *,
    query: str,
    intent: NDArray[np.float32] | None,
    profile: str,
) -> str:
    """Say in words who asks for what; what matters most comes first, since a reader cuts at the end.

    Template, empty parts left out: ``query: Q. intent: I. recent: A; B. searched: P; Q. about: PROFILE``.

    Args:
        events: what the user did strictly before the moment and may be told (``commerce.sensitive``), oldest first.
        item_texts: text of every item, by code.
        query_texts: text of every query, by code; empty where it is not to be told.
        query: what is asked for now, empty without.
        intent: ``[3]``, predicted probabilities in the order of ``INTENTS``; the likeliest is named, none where they
            are None.
        profile: as ``profile_text`` gives it.
    """
    items = recent_items(events, RECENT_ITEMS)
    searches = _newest(events.query[events.query != NO_QUERY], RECENT_SEARCHES)
    parts = {
        "query": query.strip(),
        "intent": "" if intent is None else INTENTS[int(np.argmax(intent))],
        "recent": "; ".join(_cut(item_texts[item]) for item in items),
        "searched": "; ".join(filter(None, (_cut(query_texts[code]) for code in searches))),
        "about": profile,
    }
    return ". ".join(f"{name}: {words}" for name, words in parts.items() if words)


def profile_text(profile: Mapping[str, object]) -> str:
    """Return a user's declared features as ``age 45-54, income 50-74K``; those without a value are left out."""
    known = {name: value for name, value in profile.items() if value is not None and value == value and value != ""}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in known.items())


def known_features(
    vocabulary: Vocabulary,
    categorical: NDArray[np.int32],
    numeric: NDArray[np.float32],
    numeric_mask: NDArray[np.bool_] | NDArray[np.float32],
) -> dict[str, str]:
    """Return one user's encoded features in words, name -> value, those that are known; numbers to three digits.

    Args:
        vocabulary: of the users' features; sensitive columns are not in it.
        categorical: ``[categorical features]``, codes.
        numeric: ``[numeric features]``, standardised.
        numeric_mask: ``[numeric features]``, whether the number is known.
    """
    words = {
        name: categories[code - 1]
        for (name, categories), code in zip(vocabulary.categorical.items(), categorical.tolist(), strict=True)
        if code != UNKNOWN
    }
    for place, (name, (mean, deviation)) in enumerate(vocabulary.numeric.items()):
        if numeric_mask[place]:
            words[name] = f"{mean + deviation * float(numeric[place]):.3g}"
    return words


def recent_items(events: Events, count: int) -> NDArray[np.int32]:
    """Return the last ``count`` distinct items, newest first."""
    return _newest(events.item[events.item != NO_ITEM], count)


def _newest(codes: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """Return the last ``count`` distinct codes, newest first."""
    distinct, first = np.unique(codes[::-1], return_index=True)
    newest: NDArray[np.int32] = distinct[np.argsort(first)][:count]
    return newest


def _cut(text: str) -> str:
    """Cut ``text`` to ``TEXT_CUT`` characters, at a space where there is one in the second half."""
    if len(text) <= TEXT_CUT:
        return text
    head = text[:TEXT_CUT]
    space = head.rfind(" ")
    return head[:space] if space > TEXT_CUT // 2 else head


@dataclass(frozen=True)
class Heard:
    """What a ranker is told of who asks: all that is known, or what is left of it (``ranking.reads``)."""

    intent: NDArray[np.float32]
    """``[..., 3]``, for the score heads: alike where the ranker does not read intents."""
    named: NDArray[np.float32] | None
    """The same for the context, which then names none."""
    profile: str
    """As ``profile_text`` gives it; empty where it is not read."""

    @classmethod
    def of(cls, reads: Collection[str], intent: NDArray[np.float32], profile: str) -> Heard:
        """Keep of ``intent`` ``[3]`` and ``profile`` what ``reads`` names."""
        told = "intent" in reads
        alike = np.full_like(intent, 1 / len(INTENTS))
        return cls(intent if told else alike, intent if told else None, profile if "profile" in reads else "")


@dataclass(frozen=True)
class ItemFacts:
    """What was known about every item before a window began; arrays are ``[items]`` unless said."""

    price: NDArray[np.float32]
    """Of the moment, NaN where unknown."""
    popularity: NDArray[np.float32]
    """Target events in the popularity window."""
    vectors: NDArray[np.float32]
    """``[items, dim]``, the item tower's, unit length."""
    edges: Edges
    """Associations: which items go with which."""
    numbers: NDArray[np.float32]
    """``[items, numbers]``, as ``commerce.item_numbers`` gives them."""


@dataclass(frozen=True)
class Candidates:
    """The candidates of one request in blended order; arrays are ``[candidates]`` or ``[candidates, sources]``."""

    item: NDArray[np.int32]
    score: NDArray[np.float32]
    """Of the blend."""
    source_rank: NDArray[np.int32]
    """From 0; -1 where the source did not find the item."""
    source_score: NDArray[np.float32]
    """Anything where the source did not find the item."""
    place: NDArray[np.int32]
    """In the whole list, from 0: some of a list's candidates keep the places that all of them have."""


_OF_SOURCE = ("place", "score")
_OF_CANDIDATE = (
    "blend_place",
    "blend_score",
    "affinity",
    "similarity_last",
    "similarity_recent",
    "association_best",
    "association_all",
    "popularity",
    "price_known",
    "price_above",
    "price_distance",
    "bought",
    "met",
    "events_ago",
    "days_ago",
    "due",
    "history",
)


def feature_names(sources: Sequence[str], numbers: Sequence[str]) -> tuple[str, ...]:
    """Return the names of ``candidate_features``' columns, in order; ``numbers`` are those of the items' numbers."""
    return (*(f"{source}_{fact}" for source in sources for fact in _OF_SOURCE), *_OF_CANDIDATE, *numbers)


def candidate_features(
    events: Events, moment: int, user_vector: NDArray[np.float32], candidates: Candidates, facts: ItemFacts
) -> NDArray[np.float32]:
    """Return the numbers about each candidate of one request, float32 ``[candidates, features]``.

    Args:
        events: what the user did strictly before ``moment``, oldest first.
        moment: microseconds UTC.
        user_vector: ``[dim]``, the user tower's for this request.
        candidates: whose numbers.
        facts: about all items, as of the window's start.
    """
    place = np.where(candidates.source_rank >= 0, _discount(np.maximum(candidates.source_rank, 0)), 0.0)
    score = np.where(candidates.source_rank >= 0, _squash(candidates.source_score), 0.0)
    by_source = np.stack([place, score], axis=2).reshape(len(candidates.item), -1)
    recent = recent_items(events, ASSOCIATED)
    columns: list[NDArray[np.floating]] = [
        _discount(candidates.place),
        candidates.score,
        facts.vectors[candidates.item] @ user_vector,
        *_similarities(recent, candidates.item, facts.vectors),
        *_associations(recent, candidates.item, facts.edges),
        np.log1p(facts.popularity[candidates.item]),
        *_prices(recent, candidates.item, facts.price),
        *_personal(events, moment, candidates.item),
        np.full(len(candidates.item), np.log1p(len(events))),
    ]
    parts = [by_source, np.stack(columns, axis=1), facts.numbers[candidates.item]]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _discount(rank: NDArray[np.integer]) -> NDArray[np.float64]:
    return np.asarray(1.0 / np.log2(rank + 2.0), dtype=np.float64)


def _squash(score: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring counts and cosines to one scale, keeping the sign: sign(x) log(1 + |x|)."""
    return np.sign(score) * np.log1p(np.abs(score))


def _similarities(
    recent: NDArray[np.int32], items: NDArray[np.int32], vectors: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """Return each candidate's cosine with the last item, and its highest with the recent ones."""
    if not len(recent):
        return [np.zeros(len(items), np.float32)] * 2
    cosine = vectors[items] @ vectors[recent].T
    return [cosine[:, 0], cosine.max(axis=1)]


def _associations(recent: NDArray[np.int32], items: NDArray[np.int32], edges: Edges) -> list[NDArray[np.float64]]:
    """Return log(1 + weight) of each candidate's strongest association with a recent item, and of the sum of all."""
    best, total = np.zeros(len(items)), np.zeros(len(items))
    order = np.argsort(items)
    for item in recent:
        span = slice(int(edges.offsets[item]), int(edges.offsets[item + 1]))
        others, weights = edges.other[span], edges.weight[span]
        place = np.minimum(np.searchsorted(items[order], others), len(items) - 1)
        hit = items[order][place] == others
        rows = order[place[hit]]
        total[rows] += weights[hit]
        best[rows] = np.maximum(best[rows], weights[hit])
    return [np.log1p(best), np.log1p(total)]


def _prices(
    recent: NDArray[np.int32], items: NDArray[np.int32], price: NDArray[np.float32]
) -> list[NDArray[np.float64]]:
    """Return whether both prices are known, the candidate's log price over the recent items', and that without sign."""
    with np.errstate(invalid="ignore", divide="ignore"):
        usual = np.log(price[recent].astype(np.float64))
        above = np.log(price[items].astype(np.float64)) - (
            np.mean(usual[np.isfinite(usual)]) if np.isfinite(usual).any() else np.nan
        )
    known = np.isfinite(above)
    above = np.where(known, above, 0.0)
    return [known.astype(np.float64), above, np.abs(above)]


def _personal(events: Events, moment: int, items: NDArray[np.int32]) -> list[NDArray[np.float64]]:
    """Return how often and how lately the user met each candidate.

    In order: log(1 + purchases), log(1 + other events), 1 / log2(2 + events since the last one), 1 / (1 + log(1 +
    days since it)), and ``due``: log of (days since it) over (mean days between its events), both plus one, 0 below
    two events. All are 0 for an item never met.
    """
    bought, met, events_ago, days_ago, due = (np.zeros(len(items)) for _ in range(5))
    order = np.argsort(items)
    place = np.minimum(np.searchsorted(items[order], events.item), len(items) - 1)
    positions = np.flatnonzero(items[order][place] == events.item)
    rows = order[place[positions]]
    purchase = events.action[positions] == ACTION_CODES["purchase"]
    np.add.at(bought, rows[purchase], 1.0)
    np.add.at(met, rows[~purchase], 1.0)
    # Positions ascend, so the last write stays for the last meeting, and, read backwards, for the first.
    last, first = np.full(len(items), -1), np.full(len(items), -1)
    last[rows] = positions
    first[rows[::-1]] = positions[::-1]
    known = np.flatnonzero(last >= 0)
    since = (moment - events.time[last[known]]) / DAY
    times = bought[known] + met[known]
    between = (events.time[last[known]] - events.time[first[known]]) / DAY / np.maximum(times - 1, 1)
    events_ago[known] = _discount(len(events) - 1 - last[known])
    days_ago[known] = 1.0 / (1.0 + np.log1p(np.maximum(since, 0.0)))
    due[known] = np.where(times > 1, np.log1p(np.maximum(since, 0.0)) - np.log1p(between), 0.0)
    return [np.log1p(bought), np.log1p(met), events_ago, days_ago, due]
