"""A shop without a log (``data.events=none``): its products, found by search terms; the bundle is unpersonalised.

Without events nothing can be learned about users, so there are no towers, no associations, no ranker and nothing to
measure. What can be served is product texts: a request's search terms find them by meaning (the text encoder's vectors)
and by word (BM25), and a request without any gets what came to the shop last. The run folder and the bundle are laid
out as ever, so that whoever serves this one serves the next one, made from a log, with the same code.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from commerce.checks import check_items, check_relations
from commerce.columns import MICROSECONDS
from commerce.ids import extend_ids
from commerce.splits import WINDOWS
from commerce.tables import read_tables
from commerce.variants import read_variants
from commerce.warehouse import open_warehouse
from configs.errors import InputError
from configs.schema import Config
from learning.encode import folder_vectors
from learning.encoder_folder import EncoderFolder
from learning.tokens import load_tokenizer
from pipeline import export as sealed
from pipeline.bundle import (
    VERSIONED,
    bundle_settings,
    write_items,
    write_queries,
    write_rules,
)
from pipeline.bundle_source import BundleSource
from pipeline.catalogue import write_catalogue
from pipeline.encoders import named_encoder
from pipeline.index import towers_of
from pipeline.ingest import blocked_ids, coded_items, coded_relations, known_ids, put_aside
from pipeline.model_files import write_text_encoder
from pipeline.precision import choose_precisions
from pipeline.provenance import git_commit, versions
from pipeline.retrieve import BLENDS, PROTOCOLS, VARIANTS
from pipeline.search_terms import write_texts
from pipeline.shop_texts import ShopTexts
from pipeline.stage import Outcome, Work
from pipeline.torch_models import TorchModels
from retrieval.blending import blend_name
from retrieval.index import ItemIndex
from retrieval.lexical import LexicalSource
from retrieval.opening import LEXICAL, NEWEST, by_date
from retrieval.weights import Blend

SOURCES = ("vectors", "lexical", "newest")


def ingest(work: Work) -> Outcome:
    """Read, check and code the items; bad rows go to ``quarantine.parquet``."""
    data = work.config.data
    warehouse = open_warehouse(work.config.run.threads, data.memory_gb, work.scratch())
    raw = read_tables(data, work.config.bazaar, warehouse, work.scratch())
    items = check_items(warehouse, raw.items)
    checked = {"items": items}
    if raw.relations is not None:
        checked["relations"] = check_relations(warehouse, raw.relations, items.good)
    lines = raw.notes + put_aside(checked, data.max_quarantine_share, work.out / "quarantine.parquet")
    placed = items.good.select(id="item_id", place="row")
    item_ids = extend_ids(warehouse, "item_ids", placed, known_ids(work).get("item_ids"))
    item_ids.order_by("code").to_parquet(work.out / "item_ids.parquet")
    coded_items(items.good, item_ids, blocked_ids(data)).to_parquet(work.out / "items.parquet")
    relations = checked["relations"].good if "relations" in checked else None
    coded_relations(warehouse, relations, item_ids).to_parquet(work.out / "relations.parquet")
    nobody = {"user": pa.array([], pa.int32()), "user_id": pa.array([], pa.string())}
    pq.write_table(pa.table(nobody), work.out / "users.parquet")
    count = pq.read_metadata(work.out / "items.parquet").num_rows
    warehouse.disconnect()
    return Outcome([*lines, f"{count:,} items and no log (data.events=none): the bundle will be unpersonalised"])


def prepare(work: Work) -> Outcome:
    """Lay out texts, fields and availability."""
    config, out = work.config, work.out
    if config.text.encoder == "train":
        raise InputError("text.encoder=train learns from a log, and there is none (data.events=none); name an encoder")
    if config.text.adapt_steps:
        raise InputError(
            "text.adapt_steps adapts the encoder along with a log; without one (data.events=none) set it to 0"
        )
    data = replace(config.data, user_categorical=[], user_numeric=[], sensitive=[])
    catalogue = write_catalogue(work.run.stage("ingest"), data, out)
    texts = write_texts(out, catalogue.texts, {window: [""] * len(catalogue.texts) for window in WINDOWS})
    np.save(out / "prices.npy", catalogue.prices)
    none = {"query": pa.array([], pa.int32()), "text": pa.array([], pa.string())}
    pq.write_table(pa.table(none), out / "queries.parquet")
    return Outcome([*catalogue.lines, *ShopTexts(texts, []).report(config.text, out)])


def embed(work: Work) -> Outcome:
    """Write the text vector of each item; zeros for one without text."""
    texts = _texts(work.run.stage("prepare"))
    vectors = folder_vectors(texts, named_encoder(work.run, work.config.text), work.config.text, kind="item")
    np.save(work.out / "item_vectors.npy", vectors)
    return Outcome([f"{len(vectors):,} text vectors, {vectors.shape[1]} wide"])


def index(work: Work) -> Outcome:
    """Write the index of the items that have a text: exact, since there are no requests to measure a recall by."""
    vectors = np.load(work.run.stage("embed") / "item_vectors.npy", mmap_mode="r")
    items = np.flatnonzero(vectors.any(axis=1))
    if not len(items):
        raise InputError("no item has a text, so nothing can be found; name the columns that make it in data.item_text")
    built = ItemIndex.build(items, vectors[items], towers=towers_of(work.run))
    built.save(work.out)
    return Outcome([f"{len(built):,} items, exact: there are no requests to measure a recall by"])


def retrieve(work: Work) -> Outcome:
    """Write what the sources need to know."""
    prepared, settings = work.run.stage("prepare"), work.config.retrieval
    folder = work.out / "statistics" / WINDOWS[-1]
    folder.mkdir(parents=True)
    texts = _texts(prepared)
    LexicalSource.build(texts).save(folder / LEXICAL)
    with np.load(prepared / "availability.npz") as availability:
        np.save(folder / NEWEST, by_date(availability["from"]))
    if settings.variants == "one":
        relations = work.run.stage("ingest") / "relations.parquet"
        np.save(work.out / VARIANTS, read_variants(relations, len(texts)))
    equal = Blend.equal(SOURCES, settings.rank_constant)
    asked = replace(equal, weights={**equal.weights, "newest": 0.0})
    blends = {
        blend_name(protocol, query): asdict(asked if query else equal)
        for protocol in PROTOCOLS
        for query in ("", "any")
    }
    (work.out / BLENDS).write_text(json.dumps(blends, indent=1))
    return Outcome(["vectors and lexical, of equal weight, answer search terms; newest answers who sends none"])


def export(work: Work) -> Outcome:
    """Write, prove and publish the bundle and the plain export."""
    source = ItemsSource(work.run, work.config)
    return sealed.publish(work, source, lambda folder: _write(folder, source), [])


@dataclass(frozen=True)
class ItemsSource(BundleSource):
    """What a bundle without users is made from."""

    @cached_property
    def encoder(self) -> EncoderFolder:
        """Where the text encoder lies and how it is read."""
        return named_encoder(self.run, self.config.text)

    def torch_models(self) -> TorchModels:
        """Return the text encoder as the runtime calls it."""
        tokenizer = load_tokenizer(self.encoder.path, self.encoder.max_tokens)
        return TorchModels(self.text_encoder, tokenizer, self.encoder.query_prefix, None, None)


def _write(folder: Path, source: ItemsSource) -> dict[str, Any]:
    """Write everything but the manifest, and return what it says."""
    write_items(folder, source)
    write_queries(folder, source)
    retrieved = source.run.stage("retrieve")
    shutil.copytree(retrieved / "statistics" / WINDOWS[-1], folder / "statistics")
    if source.config.retrieval.variants == "one":
        shutil.copyfile(retrieved / VARIANTS, folder / VARIANTS)
    write_rules(folder, source)
    models = {"text": write_text_encoder(folder, source), "user": None, "item": None, "reranker": None}
    now = time.time_ns() // 1000 // MICROSECONDS * MICROSECONDS
    return {
        "name": source.config.run.name,
        "personalised": False,
        "mercato": version("mercato"),
        "git_commit": git_commit(),
        "versions": versions(*VERSIONED),
        "window": {"start": now, "end": now, "events": 0},
        "windows": {},
        "settings": _settings(source.config, source.blends),
        "models": choose_precisions(folder, models, source),
        "users": None,
        "metrics": {},
    }


def _settings(config: Config, blends: dict[str, Any]) -> dict[str, Any]:
    return {**bundle_settings(config, blends), "sources": list(SOURCES)}


def _texts(prepared: Path) -> Sequence[str]:
    texts: list[str] = pq.read_table(prepared / "item_texts.parquet").sort_by("item")["text"].to_pylist()
    return texts
