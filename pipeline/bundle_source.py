"""A finished run as the bundle's contents are read from it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.columns import NO_QUERY
from commerce.histories import Histories
from configs.schema import Config
from learning.encoder_folder import EncoderFolder
from learning.language_model import TextEncoder, load_text_encoder
from learning.tokens import load_tokenizer
from pipeline.encoders import towers_encoder
from pipeline.ranking_inputs import encoder_path
from pipeline.run_folder import RunFolder
from pipeline.search_terms import told_query_texts
from pipeline.torch_models import TorchModels, TorchReranker, UserGraph
from ranking.module import Ranker
from ranking.pairs import PairTokenizer
from towers.module import TwoTower


@dataclass(frozen=True)
class BundleSource:
    """A finished run as the bundle's contents are read from it."""

    run: RunFolder
    config: Config

    @classmethod
    def open(cls, run: RunFolder, config: Config) -> BundleSource:
        """Name the run."""
        return cls(run, config)

    @property
    def prepared(self) -> Path:
        """Folder of ``prepare``."""
        return self.run.stage("prepare")

    @cached_property
    def item_ids(self) -> list[str]:
        """Outside ids, by item code."""
        return _strings(self.run.stage("ingest") / "items.parquet", "item_id")

    @cached_property
    def user_ids(self) -> list[str]:
        """Outside ids, by user code."""
        return _strings(self.run.stage("ingest") / "users.parquet", "user_id")

    @cached_property
    def item_texts(self) -> list[str]:
        """Product texts, by item code."""
        return _strings(self.prepared / "item_texts.parquet", "text")

    @cached_property
    def query_texts(self) -> list[str]:
        """Search terms, by query code."""
        return _strings(self.prepared / "queries.parquet", "text")

    @cached_property
    def told_queries(self) -> list[str]:
        """The same, empty where hardly anybody typed them."""
        return told_query_texts(self.prepared, self.config.text.terms_min_users)

    @property
    def query_codes(self) -> NDArray[np.int32]:
        """Each query's code, ``[queries]``; ``NO_QUERY`` where its text is not told."""
        told = np.array([bool(text) for text in self.told_queries], dtype=bool)
        return np.where(told, np.arange(len(told)), NO_QUERY).astype(np.int32)

    @cached_property
    def item_vectors(self) -> NDArray[np.float32]:
        """``[items, dim]``, as the user tower reads them."""
        vectors: NDArray[np.float32] = np.load(self.run.stage("embed") / "item_vectors.npy", mmap_mode="r")
        return vectors

    @cached_property
    def histories(self) -> Histories:
        """All users' events."""
        return Histories.open(self.prepared / "histories")

    @cached_property
    def encoder(self) -> EncoderFolder:
        """Where the text encoder lies and how it is read."""
        return towers_encoder(self.run, self.config.text)

    @cached_property
    def text_encoder(self) -> TextEncoder:
        """The text encoder, in evaluation mode."""
        return load_text_encoder(self.encoder)

    @cached_property
    def towers(self) -> TwoTower:
        """The trained towers, in evaluation mode."""
        path = self.run.stage("train-towers") / "model.ckpt"
        return TwoTower.load_from_checkpoint(path, map_location="cpu").eval()

    @cached_property
    def user_graph(self) -> UserGraph:
        """The trained user tower and intent head, in evaluation mode."""
        return UserGraph(self.towers).eval()

    @cached_property
    def gate(self) -> dict[str, Any]:
        """What the gate said of the reranker."""
        gate: dict[str, Any] = json.loads((self.run.stage("train-ranker") / "gate.json").read_text())
        return gate

    @cached_property
    def blends(self) -> dict[str, Any]:
        """The blend of each protocol."""
        blends: dict[str, Any] = json.loads((self.run.stage("retrieve") / "blend.json").read_text())
        return blends

    @property
    def reranker_weights(self) -> dict[str, float | None]:
        """The reranker's say where users may be shown what they had, and where not; None where its gate stayed shut."""
        weights: dict[str, float | None] = {"keep_seen": None, "filter_seen": None}
        other = self.gate.get("new_items")
        if other and other["shipped"]:
            weights["filter_seen"] = float(other["weight"])
        if self.gate["shipped"]:
            weights["filter_seen" if self.config.evaluate.filter_seen else "keep_seen"] = float(self.gate["weight"])
        return weights

    @cached_property
    def reranker(self) -> TorchReranker | None:
        """The reranker, None where it does not ship."""
        if all(weight is None for weight in self.reranker_weights.values()):
            return None
        path = self.run.stage("train-ranker") / "ranker.ckpt"
        ranker = Ranker.load_from_checkpoint(path, map_location="cpu").eval()
        limits = int(self.gate["context_tokens"]), int(self.gate["item_tokens"])
        tokenizer = PairTokenizer(load_tokenizer(encoder_path(self.run, self.config), sum(limits)), *limits)
        return TorchReranker(ranker, tokenizer, tokenizer.items(self.item_texts))

    def torch_models(self) -> TorchModels:
        """Return the torch modules as the runtime calls them."""
        tokenizer = load_tokenizer(self.encoder.path, self.encoder.max_tokens)
        return TorchModels(self.text_encoder, tokenizer, self.encoder.query_prefix, self.user_graph, self.reranker)


def _strings(path: Path, column: str) -> list[str]:
    return [str(value) for value in pq.read_table(path, columns=[column])[column].to_pylist()]
