"""Answers requests from a bundle: numpy, faiss, onnxruntime and tokenizers are all it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, INTENTS, NO_ITEM, NO_QUERY
from commerce.histories import Events
from commerce.sensitive import tellable
from commerce.session_statistics import query_words, session_statistics
from commerce.state import (
    Candidates,
    Heard,
    candidate_features,
    context_text,
    tower_inputs,
    with_query,
)
from ranking.after import arrange
from ranking.fusion import fuse, reorder
from retrieval.blending import Found, find_candidates
from retrieval.fields import Where
from retrieval.filters import Allowed
from retrieval.sources import Ask, VectorIndex
from serving.contents import Contents
from serving.manifest import check_files, read_manifest
from serving.models import Models, OnnxModels, UserInputs
from serving.query_book import QueryBook
from serving.requests import Answer, Event, Reason, Recommendation, Request
from serving.rights import Rights
from serving.user_keys import KEY_VARIABLE, UserKeyError, key_check, key_from
from serving.users import StoredUsers, UserFeatures
from serving.values import by_value, chances
from serving.visible import Visible, coded_events

_IMPERSONAL = "answered without history and profile, as was asked for"
_UNPERSONALISED = (
    "this bundle is unpersonalised: it was made without a log, and answers depend on the search terms alone"
)


@dataclass(frozen=True)
class Trace:
    """All that was computed for one request, in codes; arrays are ``[candidates]`` unless said."""

    vector: NDArray[np.float32]
    """``[dim]``, unit length."""
    intents: NDArray[np.float32]
    """``[3]``, in the order of ``INTENTS``; empty for an unpersonalised bundle."""
    items: NDArray[np.int32]
    """Best first."""
    scores: NDArray[np.float32]
    """Falling: fused with the reranker's where it read, else reciprocal rank over the sources."""
    found: Found
    """The same candidates in blended order, with what each source said of them."""
    context: str
    """What the reranker was told of the request, empty where it did not read."""
    reranked: int
    """Leading candidates that the reranker read."""
    visible: Visible
    ranked: NDArray[np.int32]
    """Best first, before the shop's own rules; the same as ``items`` where it has none."""
    allowed: Allowed
    """What the request may be answered with."""
    moment: int
    """Microseconds UTC: of the request."""
    chances: NDArray[np.float64] | None
    """``[candidates, actions]`` in blended order: the probabilities told; None where none are."""


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

        Raises:
            BundleError: if it is damaged or of another format.
        """
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        if check:
            check_files(self.folder, self.manifest)
        self._settings: Mapping[str, Any] = self.manifest["settings"]
        self._key = key
        self.models = models or OnnxModels(self.folder, self.manifest["models"], threads)
        self.contents = Contents(self.folder, self.manifest, vectors)
        self._rights = Rights(self.folder, beside=beside)

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
    ) -> Answer:
        """Answer one request; the arguments are the fields of ``Request``.

        Raises:
            InputError: for arguments that make no request, a filter that nothing passes, or a user whose history cannot
                be looked up without a key.
        """
        given = None if events is None else tuple(events)
        asked = Request(user, given, profile, query, k, time, filter_seen, tuple(exclude), where, personalise)
        return self.answer(asked)

    def answer(self, request: Request) -> Answer:
        """Answer one request."""
        trace = self.trace(request)
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
        return Answer(
            items=tuple(
                Recommendation(
                    self.item_id(item),
                    float(score),
                    self._reasons(trace.found, place.get(item), item),
                    fields.of(item),
                    self._told(trace, place.get(item), request),
                )
                for item, score in zip(shown.tolist(), trace.scores, strict=False)
            ),
            intents={name: float(share) for name, share in zip(INTENTS, trace.intents, strict=False)},
            user_known=trace.visible.known,
            reranked=min(trace.reranked, len(shown)),
            notes=tuple(notes),
        )

    def _reasons(self, found: Found, place: int | None, item: int) -> tuple[Reason, ...]:
        """Return why an item came up; nothing is said of one of a sensitive category."""
        hidden = self.contents.sensitive_items
        return () if hidden is not None and hidden[item] else _reasons(found, place)

    def trace(self, request: Request, rerank: bool = True) -> Trace:
        """Compute one request; ``rerank=False`` keeps the blended order."""
        if not request.personalise or self._rights.opted_out(request.user, lambda: self._user_key):
            request = request.impersonal()
        moment = self._moment(request)
        queries = QueryBook(self.contents.query_texts, self.contents.query_vectors, self.models.encode)
        visible = self._visible(request, moment, queries)
        query = queries.code(request.query)
        vector, intents = self._place_user(visible, moment, query, queries)
        ask = Ask(
            [visible.events], vector[None], np.array([moment]), [request.query.strip()], visible.features.categorical
        )
        found, allowed = self._find(ask, request)
        kept = int((found.items[0] != NO_ITEM).sum())
        items, scores, context, reranked = found.items[0, :kept], found.scores[0, :kept], "", 0
        weight = self.reranker_weight(request) if rerank and kept else None
        if weight is not None:
            depth = min(kept, self.manifest["models"]["reranker"]["depth"])
            heard = Heard.of(self.contents.reranker_reads, intents, visible.profile)
            context = context_text(
                tellable(visible.events, self.contents.sensitive_items),
                self.contents.item_texts,
                queries,
                query=request.query,
                intent=heard.named,
                profile=heard.profile,
            )
            read = self._read(found, depth, visible.events, context, vector, heard.intent, moment)
            whole = np.ones((1, depth), dtype=bool)
            fused = fuse(read[None], found.scores[:, :depth], whole, weight)
            one, other = reorder(found.items[:, :kept], found.scores[:, :kept], fused)
            items, scores, reranked = one[0], other[0], depth
        told = None
        if self.contents.probabilities is not None:
            told = chances(self.contents.probabilities, found, items, scores, intents, request.query)
            items, scores = by_value(self.contents, self._settings, found, items, scores, told)
        ranked = items
        items, scores, notes = self._arranged(items, scores, allowed)
        visible = replace(visible, notes=(*visible.notes, *notes))
        return Trace(vector, intents, items, scores, found, context, reranked, visible, ranked, allowed, moment, told)

    def _told(self, trace: Trace, place: int | None, request: Request) -> dict[str, float]:
        """Return the probabilities of a candidate; they hold under the protocol that the shop was evaluated under."""
        model = self.contents.probabilities
        if model is None or trace.chances is None or place is None:
            return {}
        if self._filters_seen(request) != bool(self._settings["filter_seen"]):
            return {}
        named = (f"{action}_given_{model.given}" for action in model.actions)
        return dict(zip(named, trace.chances[place].tolist(), strict=True))

    def _arranged(
        self, items: NDArray[np.int32], scores: NDArray[np.float32], allowed: Allowed
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], tuple[str, ...]]:
        """Put the list under the shop's own rules, and say which could not be kept."""
        rules, contents = self.contents.rules, self.contents
        if rules is None:
            return items, scores, ()
        # Room for pinned items that are not among the candidates.
        room = (0, len(rules.pinned))
        listed = np.pad(items, room, constant_values=NO_ITEM), np.pad(scores, room, constant_values=-np.inf)
        pinnable = allowed.mask(rules.pinned[None])
        after = arrange(listed[0][None], listed[1][None], rules, contents.item_vectors, pinnable, contents.variants)
        kept = after.items[0] != NO_ITEM
        return after.items[0][kept], after.scores[0][kept], tuple(after.said())

    def _moment(self, request: Request) -> int:
        if request.time is not None:
            return request.time
        after = max((event.time + 1 for event in request.events or ()), default=0)
        return max(int(self.manifest["window"]["end"]), after)

    def _visible(self, request: Request, moment: int, queries: QueryBook) -> Visible:
        """Gather what is known of the user: what the caller says goes before what the bundle holds."""
        if not self.personalised:
            return Visible(_nothing(), self.contents.features({}), "", False, (_UNPERSONALISED,))
        if not request.personalise:
            return Visible(_nothing(), self.contents.features({}), "", False, (_IMPERSONAL,))
        stored = None
        if request.user is not None and (request.events is None or request.profile is None):
            stored = self._stored(request.user, moment, needed=request.events is None)
        notes: tuple[str, ...] = ()
        if request.events is not None:
            events, notes = coded_events(
                request.events, moment, self.contents.item_ids, queries, self.contents.history_actions
            )
        elif stored is not None:
            events = stored[0]
        else:
            events = _nothing()
            lacks = "holds no users" if self.manifest["users"] is None else f"does not know user {request.user}"
            notes = (f"the bundle {lacks}: answered as for somebody new",)
        if request.profile is not None:
            features = self.contents.features(request.profile)
        else:
            features = stored[1] if stored is not None else self.contents.features({})
        known = bool(len(events)) or stored is not None or bool(request.profile)
        return Visible(events, features, self.contents.profile(features), known, notes)

    def _stored(self, user: str, moment: int, needed: bool) -> tuple[Events, UserFeatures] | None:
        """Look a user up in the bundle; ``needed`` where the request says nothing else about them."""
        facts = self.manifest["users"]
        if facts is None or (not needed and self._user_key is None):
            return None
        if self._user_key is None:
            raise UserKeyError(
                f"the bundle holds its users under keyed hashes, and there is no key to look up user {user}; set the "
                f"environment variable {facts['key_variable']} to the key of its export, or send the user's events"
            )
        if key_check(self._user_key) != facts["key_check"]:
            raise UserKeyError(
                f"the key in {facts['key_variable']}, or beside the bundle, is not the one it was made with, so user "
                f"{user} cannot be looked up; set the variable to the key of the export"
            )
        return self._users.find(user, moment)

    @property
    def personalised(self) -> bool:
        """Whether answers depend on who asks; a bundle made without a log answers search terms alone."""
        return self.manifest["models"]["user"] is not None

    def _place_user(
        self, visible: Visible, moment: int, query: int, queries: QueryBook
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the user's vector ``[dim]`` and intent probabilities ``[3]``.

        Without a user tower: the text vector of the search terms, zeros where there are none, and no intents.
        """
        if not self.personalised:
            events = with_query(visible.events, query, moment)
            vector = np.zeros(self.contents.item_vectors.shape[1], dtype=np.float32)
            if len(events):
                vector = queries.vectors(events.query[-1:, None].astype(np.int64))[0, 0]
            return vector, np.empty(0, dtype=np.float32)
        vectors, intents = self.read_users([visible.events], visible.features, moment, query, queries)
        return vectors[0], intents[0]

    def read_users(
        self, histories: Sequence[Events], features: UserFeatures, moment: int, query: int, queries: QueryBook
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the vectors ``[histories, dim]`` and intents ``[histories, 3]`` of a user under several histories.

        Args:
            histories: what the user did before ``moment``, without the search that is asked for now.
            features: of the user.
            moment: microseconds UTC.
            query: code of what is asked for now, ``NO_QUERY`` without.
            queries: which knows it.
        """
        read = [with_query(events, query, moment) for events in histories]
        longest = max(1, *(len(events) for events in read))
        inputs = tower_inputs(read, min(longest, self.manifest["models"]["user"]["length"]))
        met = inputs.item != NO_ITEM
        rows = np.zeros(len(histories), dtype=np.int64)
        event_vectors = np.zeros((*inputs.item.shape, self.contents.item_vectors.shape[1]), dtype=np.float32)
        event_vectors[met] = self.contents.item_vectors[inputs.item[met]]
        return self.models.users(
            UserInputs(
                event_vectors=event_vectors,
                query_vectors=queries.vectors(inputs.query),
                action=inputs.action,
                gap=inputs.gap,
                count=inputs.count,
                categorical=features.categorical[rows].astype(np.int64),
                numeric=features.numeric[rows],
                numeric_mask=features.numeric_mask[rows].astype(np.float32),
                statistics=np.stack([self._statistics(events, moment, query, queries) for events in histories]),
            )
        )

    def _statistics(self, events: Events, moment: int, query: int, queries: QueryBook) -> NDArray[np.float32]:
        """Return what the intent head is told of the session, ``[statistics]``; none in a bundle from before it."""
        facts = self.contents.session_facts
        if facts is None:
            return np.zeros(0, dtype=np.float32)
        words = query_words(queries[query]) if query != NO_QUERY else 0.0
        return session_statistics(events, moment, query, words, facts)

    def _find(self, ask: Ask, request: Request) -> tuple[Found, Allowed]:
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
        found = find_candidates(
            self.contents.sources,
            ask,
            allowed,
            max(settings["per_source"], k),
            max(settings["candidates"], k),
            self.contents.blends,
            self.protocol(request),
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

    def _read(
        self,
        found: Found,
        depth: int,
        events: Events,
        context: str,
        vector: NDArray[np.float32],
        intents: NDArray[np.float32],
        moment: int,
    ) -> NDArray[np.float32]:
        """Return the reranker's scores of the first ``depth`` candidates."""
        candidates = Candidates(
            found.items[0, :depth], found.scores[0, :depth], found.ranks[0, :depth], found.source_scores[0, :depth]
        )
        features = candidate_features(events, moment, vector, candidates, self.contents.item_facts)
        return self.models.score(context, candidates.item, features, intents)

    @cached_property
    def _user_key(self) -> bytes | None:
        facts = self.manifest.get("users") or {}
        return self._key or key_from(facts.get("key_variable", KEY_VARIABLE), self.folder.parent)

    @cached_property
    def _users(self) -> StoredUsers:
        assert self._user_key is not None
        return StoredUsers.open(self.folder / "users", self._user_key)


def _nothing() -> Events:
    return Events(np.empty(0, np.int32), np.empty(0, np.uint8), np.empty(0, np.int64), np.empty(0, np.int32))


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
