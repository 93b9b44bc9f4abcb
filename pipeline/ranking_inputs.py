"""What the ranker is told, read from the run folder: the same for its training, its gate and its use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm import tqdm

from commerce.columns import NO_QUERY
from commerce.edges import Edges
from commerce.features import Vocabulary
from commerce.histories import Histories
from commerce.item_numbers import item_numbers, number_names
from commerce.metrics import Relevant
from commerce.records import Requests
from commerce.seen import drop_seen
from commerce.sensitive import tellable
from commerce.state import (
    Heard,
    ItemFacts,
    candidate_features,
    context_text,
    feature_names,
    known_features,
    profile_text,
)
from configs.schema import Config
from learning.encoder_folder import find_encoder
from learning.tokens import load_tokenizer
from pipeline.catalogue import sensitive_items
from pipeline.encoders import prepared_encoder
from pipeline.run_folder import RunFolder
from pipeline.search_terms import told_query_texts
from ranking.batches import Examples
from ranking.lists import Lists, read_lists, stream_lists
from ranking.pairs import PairTokenizer, Tokens

MAIN, NEW_ITEMS = "main", "new_items"
"""Protocols: as ``evaluate`` says, and, with ``evaluate.new_items_too``, the same without items the user had."""
PROTOCOLS = (MAIN, NEW_ITEMS)


@dataclass(frozen=True)
class RankingInputs:
    """Files of the stages before, opened once."""

    run: RunFolder
    sources: tuple[str, ...]
    reads: frozenset[str]
    """What the ranker is told beside (``ranking.reads``)."""
    histories: Histories
    requests: Requests
    item_texts: list[str]
    query_texts: list[str]
    told_queries: list[str]
    """The same, empty where hardly anybody typed them: what is told of earlier searches."""
    sensitive: NDArray[np.bool_] | None
    """``[items]``: those that are not told of; None where no category is sensitive."""
    item_vectors: NDArray[np.float32]
    prices: NDArray[np.float32]
    numbers: tuple[str, ...]
    """Names of the items' numbers."""
    item_numbers: NDArray[np.float32]
    """``[items, numbers]``."""
    profiles: list[str]
    """Each user's, in words."""
    tokenizer: PairTokenizer
    item_tokens: Tokens

    @classmethod
    def open(cls, run: RunFolder, config: Config) -> RankingInputs:
        """Read what ``prepare`` and ``embed`` wrote; ``config`` names the sources, the encoder and the token limits."""
        prepared, ranking = run.stage("prepare"), config.ranking
        tokenizer = PairTokenizer(
            load_tokenizer(encoder_path(run, config), ranking.context_tokens + ranking.item_tokens),
            ranking.context_tokens,
            ranking.item_tokens,
        )
        item_texts = pq.read_table(prepared / "item_texts.parquet")["text"].to_pylist()
        return cls(
            run=run,
            sources=tuple(config.retrieval.sources),
            reads=frozenset(ranking.reads),
            histories=Histories.open(prepared / "histories"),
            requests=Requests.read(prepared / "requests.parquet"),
            item_texts=item_texts,
            query_texts=pq.read_table(prepared / "queries.parquet")["text"].to_pylist(),
            told_queries=told_query_texts(prepared, config.text.terms_min_users),
            sensitive=sensitive_items(prepared),
            item_vectors=np.load(run.stage("embed") / "item_vectors.npy", mmap_mode="r"),
            prices=np.load(prepared / "prices.npy"),
            numbers=number_names(_vocabulary(prepared, "items").numeric),
            item_numbers=read_item_numbers(prepared),
            profiles=_profiles(prepared),
            tokenizer=tokenizer,
            item_tokens=tokenizer.items(item_texts),
        )

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the numeric features."""
        return feature_names(self.sources, self.numbers)

    def lists(self, name: str, requests: Requests, depth: int) -> Lists:
        """Return the first candidates of some requests; ``name`` is that of a file of ``retrieve``."""
        return read_lists(self.run.stage("retrieve") / f"{name}.parquet", requests.request_id, self.sources, depth)

    def stream(self, name: str, request_id: NDArray[np.int64], depth: int) -> Iterator[tuple[NDArray[np.int64], Lists]]:
        """Yield the same in blocks for requests by ascending id, as ``stream_lists`` does."""
        return stream_lists(self.run.stage("retrieve") / f"{name}.parquet", request_id, self.sources, depth)

    def examples(self, window: str, requests: Requests, lists: Lists, label: str = "") -> Examples:
        """Describe some requests of one window and their candidates.

        Args:
            window: whose statistics count and whose user vectors are read.
            requests: some of that window's.
            lists: theirs.
            label: of the progress bar; none without.
        """
        embedded = self.run.stage("embed")
        whole = self.requests.request_id[self.requests.window == window]
        rows = np.searchsorted(whole, requests.request_id)
        vectors = np.load(embedded / f"users_{window}.npy", mmap_mode="r")[rows]
        intents = np.load(embedded / f"intents_{window}.npy", mmap_mode="r")[rows].astype(np.float32)
        return self.described(requests, lists, vectors, intents, self.facts(window), label)

    def described(
        self,
        requests: Requests,
        lists: Lists,
        vectors: NDArray[np.float32],
        intents: NDArray[np.float32],
        facts: ItemFacts,
        label: str = "",
    ) -> Examples:
        """Describe requests of any moment and their candidates.

        Args:
            requests: what is asked.
            lists: theirs.
            vectors: ``[requests, dim]`` of the user tower.
            intents: ``[requests, 3]``, chances.
            facts: what was known about the items.
            label: of the progress bar; none without.
        """
        features = np.zeros((*lists.items.shape, len(self.features)), dtype=np.float32)
        for row in tqdm(range(len(requests)), desc=label, unit="list", disable=not label):
            events = self.histories.events(int(requests.user[row]), int(requests.history_end[row]))
            candidates = lists.candidates(row)
            if len(candidates.item):
                moment = int(requests.time[row])
                told = candidate_features(events, moment, vectors[row], candidates, facts)
                features[row, : len(told)] = told
        heard = self._heard(requests, intents)
        known = np.array([one.intent for one in heard], dtype=np.float32).reshape(intents.shape)
        return Examples(lists.items, features, known, self.contexts(requests, intents), self.item_tokens)

    def contexts(self, requests: Requests, intents: NDArray[np.float32]) -> Tokens:
        """Return the tokens of requests' contexts; ``intents`` are chances, ``[requests, 3]``."""
        texts = []
        for row, heard in enumerate(self._heard(requests, intents)):
            user, query = int(requests.user[row]), int(requests.query[row])
            events = self.histories.events(user, int(requests.history_end[row]))
            texts.append(
                context_text(
                    tellable(events, self.sensitive),
                    self.item_texts,
                    self.told_queries,
                    query=self.query_texts[query] if query != NO_QUERY else "",
                    intent=heard.named,
                    profile=heard.profile,
                )
            )
        return self.tokenizer.contexts(texts)

    def noised(self, change: Callable[[str], str], *, queries: bool = True, items: bool = True) -> RankingInputs:
        """Return the same where the texts of queries or of items read otherwise; what is counted stays as it is.

        Args:
            change: makes another text of one.
            queries: whether those asked for now and before are changed.
            items: whether those of candidates and of the items met are.
        """
        changed = self
        if items:
            texts = [change(text) for text in self.item_texts]
            changed = replace(changed, item_texts=texts, item_tokens=self.tokenizer.items(texts))
        if queries:
            asked, told = ([change(text) for text in texts] for texts in (self.query_texts, self.told_queries))
            changed = replace(changed, query_texts=asked, told_queries=told)
        return changed

    def _heard(self, requests: Requests, intents: NDArray[np.float32]) -> list[Heard]:
        """Return what the ranker is told of who asks."""
        return [
            Heard.of(self.reads, chances, self.profiles[int(user)])
            for user, chances in zip(requests.user, intents, strict=True)
        ]

    def facts(self, window: str) -> ItemFacts:
        """Return what was known about the items before ``window``."""
        folder = self.run.stage("retrieve") / "statistics" / window
        return ItemFacts(
            price=self.prices,
            popularity=np.load(folder / "popularity.npy"),
            vectors=self.item_vectors,
            edges=Edges.load(folder / "associations.npz")
            if "associations" in self.reads
            else Edges.none(len(self.prices)),
            numbers=self.item_numbers,
        )

    def judged(self, half: str, users: int, seed: int, *, new_items: bool, actions: Sequence[str]) -> Requests:
        """Return the requests of at most ``users`` users of a half of validation, as one protocol judges them.

        Args:
            half: ``fit`` or ``gate``.
            users: above this many, users are drawn at random.
            seed: of the draw.
            new_items: whether items the user had are taken out of the relevant ones; emptied requests go.
            actions: by which a user has an item.
        """
        requests = self.requests.of("validation", half)
        everyone = np.unique(requests.user)
        chosen = np.random.default_rng([seed, 0x6A7E]).permutation(everyone)[:users]
        requests = requests.where(np.isin(requests.user, chosen))
        return without_seen(requests, self.histories, actions) if new_items else requests


def candidates_file(window: str, protocol: str) -> str:
    """Return the name of the file in ``retrieve``, and ``rank``, that holds a window's lists."""
    return window if protocol == MAIN else f"{window}_new"


def encoder_path(run: RunFolder, config: Config) -> Path:
    """Return the folder of the language model that the cross-encoder starts from."""
    if config.ranking.encoder:
        return find_encoder(config.ranking.encoder, run.stage("prepare") / "encoder")
    return prepared_encoder(run, config.text).path


def relevant_of(requests: Requests) -> Relevant:
    """Return the relevant items of requests as the measures take them."""
    return Relevant(requests.offsets, requests.items, requests.gains)


def without_seen(requests: Requests, histories: Histories, actions: Sequence[str]) -> Requests:
    """Take what users had before out of the relevant items; requests without any left go."""
    fewer = drop_seen(relevant_of(requests), histories, requests.user, requests.history_end, actions)
    left = Requests(
        **{
            name: getattr(requests, name)
            for name in ("request_id", "window", "half", "user", "time", "history_end", "query", "session", "intent")
        },
        offsets=fewer.offsets,
        items=fewer.items,
        gains=fewer.gains,
    )
    return left.where(fewer.counts > 0)


def read_item_numbers(prepared: Path) -> NDArray[np.float32]:
    """Return what the reranker is told of items in numbers, ``[items, numbers]``, from the folder of ``prepare``."""
    described = prepared / "items_features"
    return item_numbers(
        np.load(prepared / "prices.npy"), np.load(described / "leaf.npy"), np.load(described / "numeric.npy")
    )


def _vocabulary(prepared: Path, kind: str) -> Vocabulary:
    return Vocabulary.from_json(json.loads((prepared / "vocabulary.json").read_text(encoding="utf-8"))[kind])


def filters_seen(config: Config, protocol: str) -> bool:
    """Return whether lists of a protocol leave out what their users had."""
    return config.evaluate.filter_seen or protocol == NEW_ITEMS


def actions_of(config: Config) -> list[str]:
    """Return the actions by which a user has an item."""
    return list(config.evaluate.targets or config.prepare.targets)


def _profiles(prepared: Path) -> list[str]:
    vocabulary = _vocabulary(prepared, "users")
    folder = prepared / "users_features"
    arrays = [np.load(folder / f"{name}.npy") for name in ("categorical", "numeric", "numeric_mask")]
    return [profile_text(known_features(vocabulary, *row)) for row in zip(*arrays, strict=True)]


def protocols_of(run: RunFolder) -> list[str]:
    """Return the protocols that ``retrieve`` wrote candidates for."""
    folder = run.stage("retrieve")
    return [name for name in PROTOCOLS if (folder / f"{candidates_file('validation', name)}.parquet").is_file()]
