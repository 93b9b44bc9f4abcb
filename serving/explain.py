"""Why an item stands where it stands in an answer: reasons by kind, features, past events; or why it is not there.

Reasons come from asking the same request again with evidence taken away (``serving.evidence``, ``serving.standing``),
so they are about what the bundle does, whatever its models are. No torch: the bundle's own graphs are asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTIONS, INTENTS, NO_ITEM, NO_QUERY
from commerce.histories import Events
from commerce.texts import leaf_category
from configs.errors import InputError
from serving.evidence import AGAIN, GOES_WITH, QUERY, SHORTLIST, TASTE, VISIT, Evidence, acts, gather, without
from serving.query_book import QueryBook
from serving.reason_words import POPULAR, SOURCES, actions_words, day, short
from serving.requests import Event, Reason, Request
from serving.runtime import Runtime
from serving.score_parts import Part, score_parts
from serving.standing import Subset, standing, subsets, worths
from serving.trace import Trace
from serving.why_not import why_not

DEPTH = 2_000
"""Items that are put in order to see how far one falls; what lies deeper counts as just behind them."""
EVENTS = 3
"""Past acts that are told."""
FEATURES = 5
_LEAST = 0.01
"""Doublings of the place below which a reason is none."""


@dataclass(frozen=True)
class Because:
    """One reason, for the item or against it."""

    kind: str
    """Of ``serving.evidence.KINDS``, or ``popular``."""
    words: str
    worth: float
    """Doublings of the item's place that are owed to it; below 0 where it speaks against the item."""
    place_without: int | None
    """Where the item would stand if this alone were not known, from 1; None: not among ``DEPTH`` items."""


@dataclass(frozen=True)
class Explanation:
    """Why an item stands where it does in the answer to a request."""

    item_id: str
    title: str
    place: int | None
    """In the whole list, from 1; None where it is not listed."""
    wanted: int
    """Items that the request asks for."""
    found_by: tuple[Reason, ...]
    intents: Mapping[str, float]
    reasons: tuple[Because, ...]
    """For the item, the strongest first."""
    against: tuple[Because, ...]
    """Against it, the strongest first."""
    features: tuple[Part, ...]
    """What its score is made of, the largest contributions first."""
    events: tuple[Part, ...]
    """Past acts that brought the user nearest to the item, by what the cosine of their vectors loses without each."""
    why_not: tuple[str, ...]
    """Why it is not shown; empty where it is."""
    notes: tuple[str, ...]

    @property
    def shown(self) -> bool:
        """Whether the item is in the answer."""
        return self.place is not None and self.place <= self.wanted


def explain(runtime: Runtime, request: Request, item_id: str) -> Explanation:
    """Explain where an item stands in the answer to a request.

    Raises:
        InputError: for an item that the bundle does not know, or one of a category that the shop calls sensitive.
    """
    item = runtime.contents.item_ids.code(item_id)
    if item == NO_ITEM:
        raise InputError(f"the bundle does not know item {item_id!r}; ask for one of its {runtime.items:,} items")
    if is_sensitive(runtime, item):
        raise InputError(f"item {item_id} is of a category that the shop calls sensitive, so nothing is told about it")
    trace = runtime.trace(request)
    place = _place(trace.items, item)
    shown = place is not None and place <= request.k
    reasons = _reasons(runtime, request, trace, item)
    found = trace.found.items[0]
    at = np.flatnonzero(found == item)
    return Explanation(
        item_id=item_id,
        title=_title(runtime, item),
        place=place,
        wanted=request.k,
        found_by=_found_by(trace, int(at[0])) if len(at) else (),
        intents={name: float(share) for name, share in zip(INTENTS, trace.intents, strict=False)},
        reasons=tuple(reason for reason in reasons if reason.worth >= _LEAST),
        against=tuple(reason for reason in reversed(reasons) if reason.worth <= -_LEAST),
        features=score_parts(runtime, request, trace, item)[:FEATURES],
        events=_acts(runtime, request, trace, item)[:EVENTS],
        why_not=() if shown else why_not(runtime, request, trace, item, place),
        notes=trace.visible.notes,
    )


def is_sensitive(runtime: Runtime, item: int) -> bool:
    """Whether an item is of a category that the shop calls sensitive (``settings.sensitive_categories``).

    Such items take part in answers as all others do, but no explanation names them.
    """
    hidden: Sequence[str] = runtime.manifest["settings"].get("sensitive_categories") or ()
    if not hidden:
        return False
    category = str(runtime.contents.item_fields.of(item).get("category") or "")
    levels = category.split(" > ")
    paths = {" > ".join(levels[: depth + 1]) for depth in range(len(levels))}
    return any(name in paths or name in levels for name in hidden)


def _reasons(runtime: Runtime, request: Request, trace: Trace, item: int) -> list[Because]:
    """Return the reasons for and against, the strongest for the item first."""
    events = trace.visible.events
    pieces = {
        piece.kind: piece
        for piece in gather(
            events,
            trace.moment,
            _own(runtime, item),
            _alike(runtime, item),
            query=bool(request.query.strip()),
            profile=bool(trace.visible.profile),
        )
    }
    deep = replace(request, k=max(request.k, min(DEPTH, runtime.items)))
    kinds = list(pieces)
    places = {
        known: _place(runtime.trace(_asked(runtime, deep, events, trace.moment, pieces, known)).ranked, item)
        for known in subsets(kinds)
    }
    last = max(deep.k, *(place or 0 for place in places.values()))
    found = worths(kinds, {known: standing(place, last) for known, place in places.items()})
    whole = frozenset(kinds)
    because = [
        Because(kind, _words(runtime, pieces[kind], events, request), worth, places[whole - {kind}])
        for kind, worth in found.items()
    ]
    # What stands high for somebody of whom nothing is known, beside an item from the middle of the list.
    alone = places[frozenset()]
    nobody = standing(alone, last) + log2(max(2, last) / 2)
    if alone is not None and nobody > 0:
        words = f"even for a user of whom nothing is known it stands at place {alone:,} of {last:,}"
        because.append(Because(POPULAR, words, nobody, None))
    return sorted(because, key=lambda one: -one.worth)


def _asked(
    runtime: Runtime, request: Request, events: Events, moment: int, pieces: Mapping[str, Evidence], known: Subset
) -> Request:
    """Return the request as it would be if only some of the evidence were known."""
    gone = [piece.events for kind, piece in pieces.items() if kind not in known]
    left = without(events, np.concatenate([*gone, np.empty(0, dtype=np.int64)]))
    profile = request.profile
    if any(piece.profile and kind not in known for kind, piece in pieces.items()):
        profile = {}
    query = request.query if QUERY in known else ""
    return replace(request, events=_told(runtime, left), profile=profile, query=query, time=moment)


def _told(runtime: Runtime, events: Events) -> tuple[Event, ...]:
    """Return coded events as a caller sends them."""
    texts = runtime.contents.query_texts
    return tuple(
        Event(
            ACTIONS[action],
            int(time),
            None if item == NO_ITEM else runtime.item_id(int(item)),
            "" if query == NO_QUERY else texts[int(query)],
        )
        for action, time, item, query in zip(
            events.action.tolist(), events.time.tolist(), events.item.tolist(), events.query.tolist(), strict=True
        )
    )


def _words(runtime: Runtime, piece: Evidence, events: Events, request: Request) -> str:
    """Say one piece of evidence."""
    named = _named(runtime, piece, events)
    last = f" on {day(int(events.time[piece.events].max()))}" if len(piece.events) else ""
    return {
        QUERY: f"the search for {request.query.strip()!r}",
        VISIT: f"what the user did on this visit{named}",
        AGAIN: f"the user bought it before and may need it again, the last time{last}",
        SHORTLIST: f"the user looked at it, or at others like it,{last} and has not bought since",
        GOES_WITH: f"it goes with what the user bought on the last visit{named}",
        TASTE: "it fits what the user likes: "
        + ("earlier visits and profile" if piece.profile and len(piece.events) else "")
        + ("earlier visits" if not piece.profile else "" if len(piece.events) else "the profile alone"),
    }[piece.kind]


def _named(runtime: Runtime, piece: Evidence, events: Events) -> str:
    """Name the newest item of a piece of evidence that may be named."""
    items = events.item[piece.events][::-1]
    named = [int(item) for item in items if item != NO_ITEM and not is_sensitive(runtime, int(item))]
    return f" ({short(_title(runtime, named[0]))})" if named else ""


def _acts(runtime: Runtime, request: Request, trace: Trace, item: int) -> tuple[Part, ...]:
    """Return the past acts without which the user's vector lies further from the item, all in one batch."""
    events, contents = trace.visible.events, runtime.contents
    if not runtime.personalised or not len(events):
        return ()
    told = [places for places in acts(events, trace.moment) if _may_be_told(runtime, events, places)]
    queries = QueryBook(contents.query_texts, contents.query_vectors, runtime.models.encode)
    query = queries.code(request.query)
    histories = [without(events, places) for places in told]
    if not histories:
        return ()
    vectors, _ = runtime.placing.read(histories, trace.visible.features, trace.moment, query, queries)
    target = contents.item_vectors[item]
    lost = float(trace.vector @ target) - vectors @ target
    parts = [
        Part(_act_words(runtime, events, places), float(loss))
        for places, loss in zip(told, lost, strict=True)
        if loss > 0
    ]
    return tuple(sorted(parts, key=lambda part: -part.value))


def _may_be_told(runtime: Runtime, events: Events, places: NDArray[np.int64]) -> bool:
    item = int(events.item[places[0]])
    return item == NO_ITEM or not is_sensitive(runtime, item)


def _act_words(runtime: Runtime, events: Events, places: NDArray[np.int64]) -> str:
    item, query = int(events.item[places[0]]), int(events.query[places[0]])
    what = short(_title(runtime, item)) if item != NO_ITEM else repr(runtime.contents.query_texts[query])
    done = actions_words([ACTIONS[action] for action in events.action[places].tolist()])
    return f"{done} {what} on {day(int(events.time[places[-1]]))}"


def _own(runtime: Runtime, item: int) -> NDArray[np.int64]:
    variants = runtime.contents.variants
    return np.array([item]) if variants is None else np.flatnonzero(variants == variants[item])


def _alike(runtime: Runtime, item: int) -> Any:
    """Return what tells whether another item is of the same leaf category."""
    fields = runtime.contents.item_fields
    leaf = leaf_category(fields.of(item).get("category"))
    return lambda other: bool(leaf) and leaf_category(fields.of(other).get("category")) == leaf


def _title(runtime: Runtime, item: int) -> str:
    return str(runtime.contents.item_fields.of(item).get("title") or runtime.item_id(item))


def _place(items: NDArray[np.int32], item: int) -> int | None:
    at = np.flatnonzero(items == item)
    return int(at[0]) + 1 if len(at) else None


def _found_by(trace: Trace, at: int) -> tuple[Reason, ...]:
    """Return the sources that found the item, in words, best rank first."""
    ranks, scores = trace.found.ranks[0, at].tolist(), trace.found.source_scores[0, at].tolist()
    found = [
        Reason(SOURCES.get(name, name), rank + 1, score)
        for name, rank, score in zip(trace.found.sources, ranks, scores, strict=True)
        if rank >= 0
    ]
    return tuple(sorted(found, key=lambda reason: reason.rank))
