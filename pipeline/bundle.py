"""What goes into a bundle."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from commerce.columns import NO_QUERY
from commerce.histories import Histories
from commerce.session_statistics import STATISTICS
from commerce.splits import WINDOWS
from configs.schema import Config
from learning.encode import folder_vectors
from pipeline.asking import popularity_column
from pipeline.bundle_source import BundleSource
from pipeline.graph_file import FILE as GRAPH_FILE
from pipeline.index import sample_users
from pipeline.item_graph import write_item_tower
from pipeline.model_files import write_reranker, write_text_encoder, write_user_tower
from pipeline.precision import choose_precisions
from pipeline.probabilities import item_worth
from pipeline.provenance import git_commit, versions
from pipeline.retrieve import VARIANTS
from pipeline.search_terms import window_texts
from pipeline.session_files import write_session_facts
from pipeline.shop_rules import asks_rules, read_rules
from retrieval.index_folder import files_of, read_facts
from serving.contents import BIDS, PROBABILITIES, RULES, SENSITIVE
from serving.item_fields import save_item_fields
from serving.new_items import INDEX_QUERIES, LEXICAL_TEXTS
from serving.strings import Strings
from serving.user_keys import key_check
from serving.users import UserFeatures, write_users

VERSIONED = (
    "bm25s", "faiss-cpu", "faiss-gpu", "jieba", "numpy", "onnx", "onnxruntime", "tokenizers", "torch", "transformers"
)  # fmt: skip


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
        "user": write_user_tower(folder, source),
        "item": write_item_tower(folder, source),
        "reranker": write_reranker(folder, source),
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
