"""Answers requests from a bundle: numpy, faiss, onnxruntime and tokenizers are all it needs."""

from __future__ import annotations

import time as clocks
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, INTENTS, NO_ITEM
from ranking.after import arrange
from retrieval.blending import Found, blend_name, find_candidates
from retrieval.fields import Where
from retrieval.filters import Allowed
from retrieval.sources import Ask, VectorIndex
from serving.contents import Contents
from serving.in_time import ask_in_time
from serving.manifest import check_files, read_manifest
from serving.models import Models, OnnxModels
from serving.pace import BLEND, FIELDS, STATE, TERMS, Clock, Costs, Pace
from serving.placing import Placing
from serving.query_book import QueryBook
from serving.requests import Answer, Event, Reason, Recommendation, Request
from serving.reranking import reranked
from serving.rights import Rights
from serving.trace import Trace
from serving.values import by_value, chances
from serving.who_asks import WhoAsks

_WARMING = 6
"""Golden requests that warm up: one of every kind."""


class Runtime:
    """One bundle, opened: everything large in it is memory-mapped or loaded when first needed."""

    def __init__(
        self,
        folder: str | Path,
        *,
        threads: int = 1,
        check: bool = True,
        key: bytes | None = None,
        models: Models | None = None,
        vectors: VectorIndex | None = None,
        beside: bool = True,
        clock: Clock = clocks.perf_counter,
    ) -> None:
        """Open a bundle.

        Args:
            folder: of the bundle.
            threads: of ONNX Runtime for one request; 0 takes every core.
            check: whether every file's hash is checked first, about half a second per gigabyte.
            key: of the user-id hashes; else the environment variable that the manifest names is read, else the key
                file that ``export`` left beside the bundle.
            models: in the place of the bundle's graphs.
            vectors: in the place of the bundle's index, which has to hold the same items of the same towers: a
                ``retrieval.milvus.MilvusIndex``, say. Golden requests are those of the bundle's own index.
            beside: whether the lists beside the bundle hold (``serving.rights``); golden requests know nothing of them.
            clock: by which steps are timed and budgets kept, in seconds.

        Raises:
            BundleError: if it is damaged or of another format.
        """
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        if check:
            check_files(self.folder, self.manifest)
        self._settings: Mapping[str, Any] = self.manifest["settings"]
        self.models = models or OnnxModels(self.folder, self.manifest["models"], threads)
        self.contents = Contents(self.folder, self.manifest, vectors)
        self.placing = Placing(self.manifest["models"]["user"], self.models, self.contents)
        self._who = WhoAsks(self.folder, self.manifest, self.contents, key)
        self._rights = Rights(self.folder, beside=beside)
        self._clock, self._costs = clock, Costs()

    @property
    def items(self) -> int:
        """Items in the catalogue."""
        return len(self.contents.item_ids)

    def item_id(self, code: int) -> str:
        """Return the shop's id of an item code."""
        return self.contents.item_ids[code]

    def recommend(
        self,
        user: str | None = None,
        *,
        events: Sequence[Event] | None = None,
        profile: Mapping[str, Any] | None = None,
        query: str = "",
        k: int = 10,
        time: int | None = None,
        filter_seen: bool | None = None,
        exclude: Sequence[str] = (),
        where: Where | None = None,
        personalise: bool = True,
        budget_ms: float | None = None,
    ) -> Answer:
        """Answer one request; the arguments are the fields of ``Request``.

        Raises:
            InputError: for arguments that make no request, a filter that nothing passes, or a user whose history cannot
                be looked up without a key.
        """
        given = None if events is None else tuple(events)
        exclude = tuple(exclude)
        return self.answer(
            Request(user, given, profile, query, k, time, filter_seen, exclude, where, personalise, budget_ms)
        )

    def warm_up(self) -> None:
        """Load all that requests need and learn what each step takes, by asking some golden requests.

        A service calls it before it listens: until a step was taken once, nobody knows what it costs, and the first
        request with a budget would wait for graphs to be loaded.
        """
        for sliced in (False, False, True):
            for golden in self.manifest["golden"][:_WARMING]:
                self._answer(Request.from_json(golden["request"]), self._pace(None, sliced=sliced))

    def answer(self, request: Request) -> Answer:
        """Answer one request."""
        return self._answer(request, self._pace(request.budget_ms))

    def _answer(self, request: Request, pace: Pace) -> Answer:
        trace = self._trace(request, pace)
        shown = trace.items[: request.k]
        fields = self.contents.item_fields
        place = {int(item): place for place, item in enumerate(trace.found.items[0])}
        notes = list(trace.visible.notes)
        one_each = self.contents.variants is not None
        if len(shown) < request.k:
            notes.append(
                f"{request.k:,} items were asked for, but only {len(shown):,} can be shown "
                f"(the catalogue has {self.items:,}{', of which variants count once' if one_each else ''})"
            )
        if trace.cut_short:
            notes.append(f"the time of {request.budget_ms:g} ms did not allow all: cut at {trace.cut_short}")
        with pace.step(FIELDS):
            items = tuple(
                Recommendation(
                    self.item_id(item),
                    float(score),
                    self._reasons(trace.found, place.get(item), item),
                    fields.of(item),
                    self._told(trace, place.get(item), request),
                )
                for item, score in zip(shown.tolist(), trace.scores, strict=False)
            )
        return Answer(
            items=items,
            intents={name: float(share) for name, share in zip(INTENTS, trace.intents, strict=False)},
            user_known=trace.visible.known,
            reranked=min(trace.reranked, len(shown)),
            notes=tuple(notes),
            cut_short=trace.cut_short,
            seconds=pace.seconds,
        )

    def _reasons(self, found: Found, place: int | None, item: int) -> tuple[Reason, ...]:
        """Return why an item came up; nothing is said of one of a sensitive category."""
        hidden = self.contents.sensitive_items
        return () if hidden is not None and hidden[item] else _reasons(found, place)

    def trace(self, request: Request, rerank: bool = True) -> Trace:
        """Compute one request; ``rerank=False`` keeps the blended order."""
        return self._trace(request, self._pace(request.budget_ms), rerank)

    def _pace(self, budget_ms: float | None, *, sliced: bool = False) -> Pace:
        return Pace(self._costs, self._clock, budget_ms, sliced=sliced)

    def _trace(self, request: Request, pace: Pace, rerank: bool = True) -> Trace:
        if not request.personalise or self._rights.opted_out(request.user, lambda: self._who.key):
            request = request.impersonal()
        moment = self._moment(request)
        with pace.step(STATE):
            queries = QueryBook(self.contents.query_texts, self.contents.query_vectors, self._encoder(pace))
            visible = self._who.visible(request, moment, queries)
            query = queries.code(request.query)
        vector, intents = self.placing.in_time(visible, moment, query, queries, pace)
        ask = Ask(
            [visible.events], vector[None], np.array([moment]), [request.query.strip()], visible.features.categorical
        )
        found, allowed = self._find(ask, request, pace)
        kept = int((found.items[0] != NO_ITEM).sum())
        blended = found.items[0, :kept]
        trace = Trace(
            vector,
            intents,
            blended,
            found.scores[0, :kept],
            found,
            context="",
            reranked=0,
            visible=visible,
            ranked=blended,
            allowed=allowed,
            moment=moment,
            chances=None,
            seconds=pace.seconds,
            cut_short="",
        )
        weight = self.reranker_weight(request) if rerank and kept and len(intents) else None
        if weight is not None:
            depth = self.manifest["models"]["reranker"]["depth"]
            trace = reranked(self.models, self.contents, trace, request, queries, weight, depth, pace)
        return replace(self._arranged(self._valued(trace, request)), cut_short=pace.cut_short)

    def _valued(self, trace: Trace, request: Request) -> Trace:
        """Tell probabilities, where the shop has fitted some, and order by their worth, where it asks for that."""
        model = self.contents.probabilities
        if model is None or not len(trace.intents):
            return trace
        told = chances(model, trace.found, trace.items, trace.scores, trace.intents, request.query)
        items, scores = by_value(self.contents, self._settings, trace.found, trace.items, trace.scores, told)
        return replace(trace, items=items, scores=scores, chances=told)

    def _encoder(self, pace: Pace) -> Callable[[Sequence[str]], NDArray[np.float32]]:
        def encode(texts: Sequence[str]) -> NDArray[np.float32]:
            with pace.step(TERMS):
                return self.models.encode(texts)

        return encode

    def _told(self, trace: Trace, place: int | None, request: Request) -> dict[str, float]:
        """Return the probabilities of a candidate; they hold under the protocol that the shop was evaluated under."""
        model = self.contents.probabilities
        if model is None or trace.chances is None or place is None:
            return {}
        if self._filters_seen(request) != bool(self._settings["filter_seen"]):
            return {}
        named = (f"{action}_given_{model.given}" for action in model.actions)
        return dict(zip(named, trace.chances[place].tolist(), strict=True))

    def _arranged(self, trace: Trace) -> Trace:
        """Put the list under the shop's own rules, and say which could not be kept."""
        rules, contents = self.contents.rules, self.contents
        trace = replace(trace, ranked=trace.items)
        if rules is None:
            return trace
        # Room for pinned items that are not among the candidates.
        room = (0, len(rules.pinned))
        items = np.pad(trace.items, room, constant_values=NO_ITEM)
        scores = np.pad(trace.scores, room, constant_values=-np.inf)
        pinnable = trace.allowed.mask(rules.pinned[None])
        after = arrange(items[None], scores[None], rules, contents.item_vectors, pinnable, contents.variants)
        kept = after.items[0] != NO_ITEM
        visible = replace(trace.visible, notes=(*trace.visible.notes, *after.said()))
        return replace(trace, items=after.items[0][kept], scores=after.scores[0][kept], visible=visible)

    def _moment(self, request: Request) -> int:
        if request.time is not None:
            return request.time
        after = max((event.time + 1 for event in request.events or ()), default=0)
        return max(int(self.manifest["window"]["end"]), after)

    @property
    def personalised(self) -> bool:
        """Whether answers depend on who asks; a bundle made without a log answers search terms alone."""
        return self._who.personalised

    def _find(self, ask: Ask, request: Request, pace: Pace) -> tuple[Found, Allowed]:
        """Return the candidates, and what the request may be answered with at all."""
        settings = self._settings
        events = ask.events[0]
        excluded = [
            np.array([code for code in map(self.contents.item_ids.code, request.exclude) if code != NO_ITEM], np.int32),
            self._rights.blocked(self.contents.item_ids),
        ]
        if self._filters_seen(request):
            had = np.isin(events.action, [ACTION_CODES[action] for action in settings["targets"]])
            excluded.append(events.item[had & (events.item != NO_ITEM)])
        only = None if request.where is None else self.contents.item_fields.table.passing(request.where)
        allowed = Allowed(*self.contents.availability, ask.time, [np.concatenate(excluded)], only)
        k = min(request.k, self.items)
        protocol = self.protocol(request)
        says, depth = self.contents.blends, max(settings["per_source"], k)
        weights = says[blend_name(protocol, ask.queries[0])].weights
        sources = ask_in_time(self.contents.sources, ask, depth, allowed, weights, pace)
        with pace.step(BLEND):
            found = find_candidates(
                sources,
                ask,
                allowed,
                depth,
                max(settings["candidates"], k),
                says,
                protocol,
                self.contents.variants,
            )
        return found, allowed

    def _filters_seen(self, request: Request) -> bool:
        return bool(self._settings["filter_seen"] if request.filter_seen is None else request.filter_seen)

    def protocol(self, request: Request) -> str:
        """Return which of the manifest's blends and reranker weights holds for the request."""
        return "filter_seen" if self._filters_seen(request) else "keep_seen"

    def reranker_weight(self, request: Request) -> float | None:
        """Return the reranker's say under the protocol of the request, None where its gate stayed shut."""
        reranker = self.manifest["models"]["reranker"]
        if reranker is None:
            return None
        weight: float | None = reranker["weights"][self.protocol(request)]
        return weight


def _reasons(found: Found, place: int | None) -> tuple[Reason, ...]:
    """Return the sources that found the candidate at ``place`` of the blend, best rank first; none: it was pinned."""
    if place is None:
        return ()
    ranks, scores = found.ranks[0, place].tolist(), found.source_scores[0, place].tolist()
    by = [
        Reason(name, rank + 1, score)
        for name, rank, score in zip(found.sources, ranks, scores, strict=True)
        if rank >= 0
    ]
    return tuple(sorted(by, key=lambda reason: reason.rank))
