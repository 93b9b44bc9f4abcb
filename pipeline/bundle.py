"""What goes into a bundle, and where in the run folder it comes from."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from commerce.columns import NO_QUERY
from commerce.histories import Histories
from commerce.session_statistics import STATISTICS
from commerce.splits import WINDOWS
from configs.schema import Config
from learning.encode import folder_vectors
from learning.encoder_folder import EncoderFolder
from learning.language_model import TextEncoder, load_text_encoder
from learning.tokens import load_tokenizer
from pipeline.asking import popularity_column
from pipeline.encoders import towers_encoder
from pipeline.graph_file import FILE as GRAPH_FILE
from pipeline.graphs import export_graph
from pipeline.index import sample_users
from pipeline.item_graph import write_item_tower
from pipeline.precision import choose_precisions
from pipeline.probabilities import item_worth
from pipeline.provenance import git_commit, versions
from pipeline.ranking_inputs import encoder_path, read_item_numbers
from pipeline.retrieve import VARIANTS
from pipeline.run_folder import RunFolder
from pipeline.search_terms import told_query_texts, window_texts
from pipeline.session_files import write_session_facts
from pipeline.shop_rules import asks_rules, read_rules
from pipeline.torch_models import TorchModels, TorchReranker, UserGraph
from ranking.module import Ranker
from ranking.pairs import PairTokenizer
from retrieval.index_folder import files_of, read_facts
from serving.contents import BIDS, ITEM_NUMBERS, PROBABILITIES, RULES, SENSITIVE
from serving.item_fields import save_item_fields
from serving.item_tokens import ItemTokens
from serving.new_items import INDEX_QUERIES, LEXICAL_TEXTS
from serving.strings import Strings
from serving.user_keys import key_check
from serving.users import UserFeatures, write_users
from towers.module import TwoTower

VERSIONED = (
    "bm25s", "faiss-cpu", "faiss-gpu", "jieba", "numpy", "onnx", "onnxruntime", "tokenizers", "torch", "transformers"
)  # fmt: skip


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


def write_bundle(folder: Path, source: BundleSource, key: bytes | None) -> dict[str, Any]:
    """Write everything but the manifest into ``folder``.

    Args:
        folder: empty.
        source: the run.
        key: of the user-id hashes; None leaves users out.

    Returns: what the manifest says of it.
    """
    write_items(folder, source)
    write_queries(folder, source)
    pause = write_session_facts(source.prepared, folder)
    shutil.copytree(source.run.stage("retrieve") / "statistics" / "test", folder / "statistics")
    if "lexical" in source.config.retrieval.sources:
        words = window_texts(source.prepared, WINDOWS[-1])
        if words != source.item_texts:
            Strings.of(words).save(folder / LEXICAL_TEXTS)
    if source.config.retrieval.variants == "one":
        shutil.copyfile(source.run.stage("retrieve") / VARIANTS, folder / VARIANTS)
    write_rules(folder, source)
    write_probabilities(folder, source)
    if source.config.graph.neighbours:
        shutil.copyfile(source.run.stage("retrieve") / GRAPH_FILE, folder / GRAPH_FILE)
    if key is not None:
        features = UserFeatures.open(source.prepared / "users_features")
        codes = source.query_codes if source.config.export.rare_queries == "none" else None
        write_users(folder / "users", source.user_ids, key, source.histories, features, codes)
    models = {
        "text": write_text_encoder(folder, source),
        "user": _write_user_tower(folder, source),
        "item": write_item_tower(folder, source),
        "reranker": _write_reranker(folder, source),
    }
    models = choose_precisions(folder, models, source)
    config, measured = source.config, json.loads((source.run.root / "metrics.json").read_text(encoding="utf-8"))
    return {
        "name": config.run.name,
        "personalised": True,
        "mercato": version("mercato"),
        "git_commit": git_commit(),
        "versions": versions(*VERSIONED),
        "window": _window(source.histories),
        "windows": json.loads((source.prepared / "windows.json").read_text(encoding="utf-8")),
        "settings": {
            **bundle_settings(config, source.blends),
            "session_statistics": {"names": list(STATISTICS), "pause": pause},
        },
        "models": models,
        "users": None
        if key is None
        else {
            "key_variable": config.export.hash_key_variable,
            "key_check": key_check(key),
            "count": sum(map(bool, source.user_ids)),  # one who was forgotten has no id
        },
        "metrics": {name: value for name, value in measured.items() if name != "segments"},
    }


def write_items(folder: Path, source: BundleSource) -> None:
    """Write ids, texts, fields, vectors and the index of the items."""
    Strings.of(source.item_ids).save(folder / "item_ids")
    Strings.of(source.item_texts).save(folder / "item_texts")
    save_item_fields(source.prepared / "item_fields.jsonl", folder)
    shutil.copyfile(source.run.stage("embed") / "item_vectors.npy", folder / "item_vectors.npy")
    index = source.run.stage("index")
    for path in files_of(index):
        copy = folder / "index" / path.relative_to(index)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    if not read_facts(index)[0]["exact"]:
        np.save(folder / INDEX_QUERIES, sample_users(source.run, "validation", source.config.retrieval.index_queries))
    told_of = [SENSITIVE] if source.config.data.sensitive_categories else []
    for name in ("availability.npz", "prices.npy", "vocabulary.json", *told_of):
        shutil.copyfile(source.prepared / name, folder / name)


def write_rules(folder: Path, source: BundleSource) -> None:
    """Write the shop's rules for ranked lists, where it has some."""
    if asks_rules(source.config.after):
        read_rules(source.run, source.config).save(folder / RULES)


def write_probabilities(folder: Path, source: BundleSource) -> None:
    """Write the probabilities that ``rank`` fitted, where it did, and the bids where lists are ordered by them."""
    fitted = source.run.root / "rank" / PROBABILITIES
    if fitted.is_file():
        shutil.copyfile(fitted, folder / PROBABILITIES)
    if source.config.rank.value == "bid":
        np.save(folder / BIDS, item_worth(source.run, "bid"))


def write_queries(folder: Path, source: BundleSource) -> None:
    """Write the log's search terms and their vectors; without histories nothing refers to them.

    Terms that fewer than ``text.terms_min_users`` users typed have no text.
    """
    shipped = source.config.export.include_histories and bool(source.query_texts)
    Strings.of(source.told_queries if shipped else []).save(folder / "queries")
    vectors = np.zeros((0, source.text_encoder.dim), dtype=np.float32)
    if shipped:
        vectors = folder_vectors(source.query_texts, source.encoder, source.config.text, kind="query", progress=False)
        if source.config.export.rare_queries == "none":
            vectors = np.where((source.query_codes != NO_QUERY)[:, None], vectors, np.float32(0))
    np.save(folder / "query_vectors.npy", vectors)


def write_text_encoder(folder: Path, source: BundleSource) -> dict[str, Any]:
    """Write the text encoder's graph and tokenizer; return what the manifest says of them."""
    encoder = source.encoder
    load_tokenizer(encoder.path, encoder.max_tokens).save(str(folder / "tokenizer.json"))
    export_graph(
        source.text_encoder,
        folder / "text_encoder.onnx",
        example=_tokens(2, 6),
        check=_tokens(3, 9),
        outputs=["vectors"],
        free={name: {0: "texts", 1: "tokens"} for name in ("input_ids", "attention_mask")},
        most={"tokens": encoder.max_tokens},
    )
    return {
        "dim": source.text_encoder.dim,
        "max_tokens": encoder.max_tokens,
        "pooling": f"{encoder.pooling}, then unit length; both inside the graph",
        "query_prefix": encoder.query_prefix,
        "item_prefix": encoder.item_prefix,
    }


def _write_user_tower(folder: Path, source: BundleSource) -> dict[str, Any]:
    towers, text_dim = source.user_graph, source.text_encoder.dim
    events = ("event_vectors", "query_vectors", "action", "gap")
    profile = ("count", "categorical", "numeric", "numeric_mask", "statistics")
    export_graph(
        towers,
        folder / "user_tower.onnx",
        example=_users(towers, text_dim, 2, 5),
        check=_users(towers, text_dim, 3, min(7, towers.user.length)),
        outputs=["vectors", "intents"],
        free={**{name: {0: "users", 1: "events"} for name in events}, **{name: {0: "users"} for name in profile}},
    )
    return {"dim": int(source.item_vectors.shape[1]), "length": towers.user.length, "text_dim": text_dim}


def _write_reranker(folder: Path, source: BundleSource) -> dict[str, Any] | None:
    reranker, gate = source.reranker, source.gate
    if reranker is None:
        return None
    ItemTokens(reranker.item_tokens.ids.astype(np.int32), reranker.item_tokens.offsets).save(folder / "item_tokens")
    np.save(folder / ITEM_NUMBERS, read_item_numbers(source.prepared))
    limits = {name: int(gate[name]) for name in ("depth", "context_tokens", "item_tokens")}
    path = encoder_path(source.run, source.config)
    load_tokenizer(path, sum(limits.values())).save(str(folder / "reranker_tokenizer.json"))
    export_graph(
        reranker.ranker.cross_encoder,
        folder / "reranker.onnx",
        example=_list(reranker.ranker, 6, 2, 5),
        check=_list(reranker.ranker, 9, 5, 7),
        outputs=["scores"],
        free={
            **{name: {1: "context"} for name in ("context_ids", "context_mask")},
            **{name: {0: "candidates", 1: "tokens"} for name in ("item_ids", "item_mask")},
            "features": {0: "candidates"},
        },
        most={"context": limits["context_tokens"], "tokens": limits["item_tokens"]},
    )
    told = {name: gate[name] for name in ("features", "reads")}
    return {**limits, **told, "weights": source.reranker_weights}


def bundle_settings(config: Config, blends: dict[str, Any]) -> dict[str, Any]:
    """Return the settings by which the pipeline found and ordered candidates, for the runtime to do likewise."""
    retrieval = config.retrieval
    return {
        "sources": list(retrieval.sources),
        "candidates": retrieval.candidates,
        "per_source": retrieval.per_source,
        "variants": retrieval.variants,
        "value": config.rank.value,
        "value_depth": config.rank.value_depth,
        "blend": {name: {part: blend[part] for part in ("weights", "rank_constant")} for name, blend in blends.items()},
        "associations_halflife": retrieval.associations_halflife,
        "repeats_targets": dict(config.prepare.targets),
        "repeats_others": retrieval.repeats_others,
        "repeats_halflife_days": retrieval.repeats_halflife_days,
        "popularity_column": popularity_column(config),
        "popularity_prior": retrieval.popularity_prior,
        "filter_seen": config.evaluate.filter_seen,
        "targets": list(config.evaluate.targets or config.prepare.targets),
        "history_actions": list(config.prepare.history_actions),
        "items": {
            "text": list(config.data.item_text),
            "columns": dict(config.data.item_columns),
            "category": config.data.item_category,
            "sensitive_categories": list(config.data.sensitive_categories),
            "group": config.evaluate.item_group,
        },
    }


def _window(histories: Histories) -> dict[str, int]:
    """Return when the log begins and ends, in microseconds, the end excluded."""
    times = histories.time
    return {"start": int(times.min()), "end": int(times.max()) + 1, "events": len(times)}


def _strings(path: Path, column: str) -> list[str]:
    return [str(value) for value in pq.read_table(path, columns=[column])[column].to_pylist()]


def _tokens(texts: int, tokens: int) -> dict[str, Tensor]:
    """Return made-up texts, the first of them padded."""
    ids = torch.arange(texts * tokens).reshape(texts, tokens) % 5 + 1
    mask = torch.ones(texts, tokens, dtype=torch.int64)
    mask[0, tokens // 2 :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def _users(towers: UserGraph, text_dim: int, users: int, events: int) -> dict[str, Tensor]:
    """Return made-up users with 0, 1, 2, ... events."""
    draw = torch.Generator().manual_seed(users)
    tower = towers.user
    dim, numbers = tower.start.shape[0], tower.numeric.in_features // 2 if tower.numeric is not None else 0
    return {
        "event_vectors": torch.randn(users, events, dim, generator=draw),
        "query_vectors": torch.randn(users, events, text_dim, generator=draw),
        "action": torch.randint(0, 7, (users, events), generator=draw),
        "gap": torch.rand(users, events, generator=draw),
        "count": torch.arange(users),
        "categorical": torch.zeros(users, len(tower.categorical), dtype=torch.int64),
        "numeric": torch.randn(users, numbers, generator=draw),
        "numeric_mask": torch.ones(users, numbers),
        "statistics": torch.rand(users, len(STATISTICS), generator=draw),
    }


def _list(ranker: Ranker, context: int, candidates: int, tokens: int) -> dict[str, Tensor]:
    """Return a made-up request, the first of its candidates padded."""
    draw = torch.Generator().manual_seed(candidates)
    items = _tokens(candidates, tokens)
    return {
        "context_ids": torch.arange(context)[None] % 5 + 1,
        "context_mask": torch.ones(1, context, dtype=torch.int64),
        "item_ids": items["input_ids"],
        "item_mask": items["attention_mask"],
        "features": torch.randn(candidates, len(ranker.features), generator=draw),
        "intent": torch.softmax(torch.randn(1, 3, generator=draw), dim=1),
    }
