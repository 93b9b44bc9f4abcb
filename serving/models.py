"""The trained models as the runtime calls them, and their ONNX graphs.

The runtime knows this protocol only, so that golden answers can be made by the same runtime with torch modules in
the models' place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from commerce.columns import NO_ITEM
from commerce.features import Features
from commerce.histories import Events
from commerce.state import tower_inputs
from ranking.pairs import PairTokenizer
from serving.item_tokens import ItemTokens
from serving.users import UserFeatures

GRAPHS = {"text": "text_encoder.onnx", "user": "user_tower.onnx", "reranker": "reranker.onnx"}
"""Files of the graphs that answer requests, by their part in the manifest's ``models``."""

Floats = NDArray[np.float32]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class UserInputs:
    """What the user tower reads for ``batch`` users; names are those of the graph's inputs."""

    event_vectors: Floats
    """``[batch, length, dim]``: item vectors of the events, zeros for searches and padding."""
    query_vectors: Floats
    """``[batch, length, text_dim]``: text vectors of search terms, zeros elsewhere."""
    action: Codes
    """``[batch, length]``: action code + 1, 0 is padding."""
    gap: Floats
    """``[batch, length]``: log(1 + hours) since the event before."""
    count: Codes
    """``[batch]``: events in the row."""
    categorical: Codes
    """``[batch, columns]``: categorical profile features, 0 for missing or unknown."""
    numeric: Floats
    """``[batch, columns]``: standardised, 0 where missing."""
    numeric_mask: Floats
    """``[batch, columns]``: 1 where the number is known."""
    statistics: Floats
    """``[batch, statistics]``: of the session so far; a bundle from before them reads none."""


def user_inputs(
    histories: Sequence[Events],
    features: UserFeatures,
    length: int,
    items: Floats,
    queries: Callable[[Codes], Floats],
    statistics: Floats,
) -> UserInputs:
    """Return what the user tower reads of one user, under one history or several.

    Args:
        histories: each oldest first, the current search the last of them.
        features: ``[1, columns]``.
        length: events that the tower reads at most, the last ones.
        items: ``[items, dim]``, all item vectors.
        queries: query codes to their text vectors.
        statistics: ``[histories, statistics]``, of the session.
    """
    longest = max(1, *(len(events) for events in histories))
    inputs = tower_inputs(histories, min(longest, length))
    rows = np.zeros(len(histories), dtype=np.int64)
    met = inputs.item != NO_ITEM
    event_vectors = np.zeros((*inputs.item.shape, items.shape[1]), dtype=np.float32)
    event_vectors[met] = items[inputs.item[met]]
    return UserInputs(
        event_vectors=event_vectors,
        query_vectors=queries(inputs.query),
        action=inputs.action,
        gap=inputs.gap,
        count=inputs.count,
        categorical=features.categorical[rows].astype(np.int64),
        numeric=features.numeric[rows],
        numeric_mask=features.numeric_mask[rows].astype(np.float32),
        statistics=statistics,
    )


class Models(Protocol):
    """What the runtime asks of trained models."""

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return the unit text vector of each query, ``[texts, text_dim]``; zeros for an empty one."""

    def users(self, inputs: UserInputs) -> tuple[Floats, Floats]:
        """Return unit user vectors ``[batch, dim]`` and intent probabilities ``[batch, 3]``."""

    def score(self, context: str, items: NDArray[np.int32], features: Floats, intent: Floats) -> Floats:
        """Return the reranker's score of each candidate of one request, ``[candidates]``.

        Args:
            context: as ``commerce.state.context_text`` says it.
            items: ``[candidates]``.
            features: ``[candidates, features]``, as ``commerce.state.candidate_features`` gives them.
            intent: ``[3]``.
        """


class OnnxModels:
    """The bundle's graphs; each is loaded when it is first asked."""

    def __init__(self, folder: Path, facts: Mapping[str, Any], threads: int) -> None:
        """Remember where the graphs lie.

        Args:
            folder: the bundle.
            facts: ``models`` of the manifest.
            threads: of ONNX Runtime; 0 takes every core.
        """
        self._folder, self._facts, self._threads = folder, facts, threads

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return the unit text vector of each query, ``[texts, text_dim]``; zeros for an empty one."""
        return self._encoded(texts, self._facts["text"]["query_prefix"])

    def _encoded(self, texts: Sequence[str], prefix: str) -> Floats:
        vectors = np.zeros((len(texts), self._facts["text"]["dim"]), dtype=np.float32)
        rows = [row for row, text in enumerate(texts) if text]
        if rows:
            encoded = self._text_tokenizer.encode_batch([prefix + texts[row] for row in rows])
            ids, mask = pad([one.ids for one in encoded])
            vectors[rows] = self._text.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return vectors

    def encode_items(self, texts: Sequence[str]) -> Floats:
        """Return the unit text vector of each product text, ``[texts, text_dim]``; zeros for an empty one."""
        return self._encoded(texts, self._facts["text"]["item_prefix"])

    def items(self, text: Floats, features: Features) -> Floats:
        """Return the unit vectors of items that came after the training, ``[items, dim]``.

        Args:
            text: ``[items, text_dim]``, as ``encode_items`` gives them.
            features: of the same items.
        """
        graph = self._load("item_tower.onnx")
        given: dict[str, NDArray[Any]] = {
            "text": text,
            "categorical": features.categorical.astype(np.int64),
            "numeric": features.numeric,
            "numeric_mask": features.numeric_mask.astype(np.float32),
            "vectors": features.vectors,
            "vectors_mask": features.vectors_mask.astype(np.float32),
        }
        vectors: Floats = graph.run(["items"], {one.name: given[one.name] for one in graph.get_inputs()})[0]
        return vectors

    def users(self, inputs: UserInputs) -> tuple[Floats, Floats]:
        """Return unit user vectors ``[batch, dim]`` and intent probabilities ``[batch, 3]``."""
        graph = self._users
        wanted = [one.name for one in graph.get_inputs()]  # the exporter leaves out what the tower does not read
        vectors, intents = graph.run(["vectors", "intents"], {name: getattr(inputs, name) for name in wanted})
        return vectors, intents

    def score(self, context: str, items: NDArray[np.int32], features: Floats, intent: Floats) -> Floats:
        """Return the reranker's score of each candidate of one request, ``[candidates]``."""
        return self.score_tokens(self._pairs.contexts([context]).of(0).tolist(), items, features, intent)

    def score_tokens(
        self, context: Sequence[int], items: NDArray[np.int32], features: Floats, intent: Floats
    ) -> Floats:
        """Return what ``score`` does of a context in tokens."""
        context_ids, context_mask = pad([context])
        item_ids, item_mask = pad([self._item_tokens.of(int(item)) for item in items])
        scores: Floats = self._reranker.run(
            ["scores"],
            {
                "context_ids": context_ids,
                "context_mask": context_mask,
                "item_ids": item_ids,
                "item_mask": item_mask,
                "features": features,
                "intent": intent[None],
            },
        )[0]
        return scores

    @cached_property
    def _text(self) -> onnxruntime.InferenceSession:
        return self._load(GRAPHS["text"])

    @cached_property
    def _text_tokenizer(self) -> Tokenizer:
        return load_tokenizer(self._folder / "tokenizer.json", self._facts["text"]["max_tokens"])

    @cached_property
    def _users(self) -> onnxruntime.InferenceSession:
        return self._load(GRAPHS["user"])

    @cached_property
    def _reranker(self) -> onnxruntime.InferenceSession:
        return self._load(GRAPHS["reranker"])

    @cached_property
    def _pairs(self) -> PairTokenizer:
        facts = self._facts["reranker"]
        tokenizer = Tokenizer.from_file(str(self._folder / "reranker_tokenizer.json"))
        return PairTokenizer(tokenizer, facts["context_tokens"], facts["item_tokens"])

    @cached_property
    def _item_tokens(self) -> ItemTokens:
        return ItemTokens.open(self._folder / "item_tokens")

    def graph(self, part: str) -> Path:
        """Return the file of a part of the manifest's ``models``."""
        return self._folder / GRAPHS[part]

    def _load(self, name: str) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(str(self._folder / name), options, providers=["CPUExecutionProvider"])


def load_tokenizer(path: Path, max_tokens: int) -> Tokenizer:
    """Return the tokenizer in ``path``, cutting to ``max_tokens`` and never padding."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()  # the file may ask for a fixed length: MiniLM's pads everything to 128
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def pad(rows: Sequence[Sequence[int]]) -> tuple[Codes, Codes]:
    """Return token ids, padded on the right with 0, and their mask, ``[rows, longest]`` each."""
    longest = max(map(len, rows))
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for row, numbers in enumerate(rows):
        ids[row, : len(numbers)] = numbers
        mask[row, : len(numbers)] = 1
    return ids, mask
