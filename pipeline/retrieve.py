"""Retrieve: some hundred candidates for every request, and how the sources were blended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm import tqdm

from commerce.associations import count_associations, count_popularity, count_popularity_by, counted_events
from commerce.candidates import CandidateWriter
from commerce.columns import NO_ITEM
from commerce.metrics import Relevant
from commerce.records import Requests
from commerce.seen import drop_seen
from commerce.splits import WINDOWS
from commerce.tastes import count_tastes
from commerce.variants import read_variants
from commerce.warehouse import open_warehouse
from configs.schema import EvaluateConfig
from pipeline.asking import Shop, blocks, open_sources, popularity_column
from pipeline.graph_file import FILE, write_graph
from pipeline.index import towers_of
from pipeline.search_terms import window_texts
from pipeline.stage import Outcome, Work
from retrieval.blending import blend_name, find_candidates
from retrieval.index_folder import open_index
from retrieval.lexical import LexicalSource
from retrieval.opening import ASSOCIATIONS, LEXICAL, POPULARITY, POPULARITY_BY, TASTES
from retrieval.sources import Source, empty
from retrieval.weights import CUT, Blend, learn_blends

BLENDS = "blend.json"
"""Blends by ``retrieval.blending.blend_name``: ``{"keep_seen": {...}, "keep_seen_query": {...}, ...}``."""
VARIANTS = "variants.npy"
"""Each item's group of variants, int32 ``[items]``, where ``retrieval.variants`` is ``one``."""
PROTOCOLS = {"keep_seen": False, "filter_seen": True}
"""Protocol -> whether items that the user had are left out. A blend is learned for each: a list of new items has no
use for repeats, and a bundle is asked for both."""


def retrieve(work: Work) -> Outcome:
    """Count, learn the blends, and write the candidates of each window."""
    config, prepared = work.config, work.run.stage("prepare")
    shop = Shop.open(prepared, config.evaluate.targets or config.prepare.targets)
    requests = Requests.read(prepared / "requests.parquet")
    lines = _count(work, shop)
    variants = None
    if config.retrieval.variants == "one":
        variants = read_variants(work.run.stage("ingest") / "relations.parquet", shop.items)
        np.save(work.out / VARIANTS, variants)
        lines.append(_say_variants(variants))
    index = open_index(work.run.stage("index"), towers_of(work.run))

    def sources(window: str) -> dict[str, Source]:
        statistics = work.out / "statistics" / window
        return open_sources(config.retrieval.sources, statistics, config, index=index)

    fit = _fit_sample(requests, config.retrieval.blend_requests)
    answering = sources("validation")
    blends: dict[str, Blend] = {}
    for protocol in PROTOCOLS:
        blends |= _blends(work, shop, requests, fit, answering, protocol)
    (work.out / BLENDS).write_text(json.dumps({name: asdict(blend) for name, blend in blends.items()}, indent=1))

    for window in WINDOWS:
        answering = sources(window)
        for name, protocol in _files(work.config.evaluate, window).items():
            found = _write(work, shop, requests.of(window), window, answering, blends, variants, protocol, name)
            lines.append(f"{name}: {found}")
    measured = set(_files(work.config.evaluate, "test").values())
    return Outcome(lines + [line for protocol in PROTOCOLS if protocol in measured for line in _say(protocol, blends)])


def _files(evaluate: EvaluateConfig, window: str) -> dict[str, str]:
    """Return file name -> protocol of the candidate files of a window; the ranker trains on one protocol alone."""
    files = {window: "filter_seen" if evaluate.filter_seen else "keep_seen"}
    if evaluate.new_items_too and window != "ranker":
        files[f"{window}_new"] = "filter_seen"
    return files


def _count(work: Work, shop: Shop) -> list[str]:
    """Write, for each window, what sources need to have counted before it."""
    settings, targets = work.config.retrieval, work.config.prepare.targets
    prepared = work.run.stage("prepare")
    learned = np.load(prepared / "learned.npz")
    scratch = work.scratch()
    warehouse = open_warehouse(work.config.run.threads, work.config.data.memory_gb, scratch)
    said = []
    for window in WINDOWS:
        folder = work.out / "statistics" / window
        folder.mkdir(parents=True)
        events = counted_events(warehouse, shop.histories, learned[window], scratch / f"{window}.parquet")
        np.save(folder / POPULARITY, count_popularity(events, shop.items, targets, settings.popularity_days))
        column = popularity_column(work.config)
        if column is not None:
            segment = np.asarray(shop.profiles[:, column])
            count_popularity_by(events, segment, targets, settings.popularity_days).save(folder / POPULARITY_BY)
        edges = count_associations(
            events,
            shop.items,
            reach=settings.associations_reach,
            days=settings.associations_days,
            forward=settings.associations_forward,
            neighbours=settings.neighbours,
        )
        edges.save(folder / ASSOCIATIONS)
        if "tastes" in settings.sources:
            tastes = count_tastes(
                events,
                shop.items,
                most=settings.tastes_items,
                ridge=settings.tastes_ridge,
                neighbours=settings.tastes_neighbours,
                days=settings.popularity_days,
            )
            tastes.save(folder / TASTES)
        texts = window_texts(prepared, window)
        if "lexical" in settings.sources:
            LexicalSource.build(texts).save(folder / LEXICAL)
        said.append(f"{window} {len(edges.other):,}")
    lines = [f"associations counted before each window: {', '.join(said)}"]
    if work.config.graph.neighbours:
        ingested = work.run.stage("ingest")
        ids = pq.read_table(ingested / "item_ids.parquet").sort_by("code")["id"].to_pylist()
        # What ships knows as much as the statistics that ship.
        graph = write_graph(work.out / FILE, events, work.config.graph, ids, texts, ingested / "relations.parquet")
        lines.append(f"{graph}; counted before the {WINDOWS[-1]} window")
    warehouse.disconnect()
    return lines


def _fit_sample(requests: Requests, most: int) -> NDArray[np.bool_]:
    """Choose the requests that blends are learned on: of ``fit`` users, at most ``most``, evenly over them all."""
    fit = np.flatnonzero((requests.window == "validation") & (requests.half == "fit"))
    chosen = np.zeros(len(requests), dtype=bool)
    chosen[fit[np.linspace(0, len(fit) - 1, min(most, len(fit)), dtype=np.int64)]] = True
    return chosen


def _blends(
    work: Work, shop: Shop, requests: Requests, fit: NDArray[np.bool_], sources: Mapping[str, Source], protocol: str
) -> dict[str, Blend]:
    """Learn the blends of a protocol, or take equal ones."""
    settings = work.config.retrieval
    if settings.blend == "equal":
        equal = Blend.equal(settings.sources, settings.rank_constant)
        return {blend_name(protocol, query): equal for query in ("", "any")}
    asked = requests.where(fit)
    relevant = Relevant(asked.offsets, asked.items, asked.gains)
    if PROTOCOLS[protocol]:
        relevant = drop_seen(relevant, shop.histories, asked.user, asked.history_end, list(shop.targets))
    answerable = relevant.counts > 0
    asked, relevant = asked.where(answerable), relevant.of(answerable)
    rows = np.flatnonzero(fit)[answerable] - np.flatnonzero(requests.window == "validation")[0]
    lists = {name: empty(len(asked), settings.per_source)[0] for name in sources}
    queries: list[str] = []
    vectors = _user_vectors(work, "validation")[rows]
    for span, ask, allowed in blocks(shop, asked, vectors, filter_seen=PROTOCOLS[protocol], size=settings.block):
        queries += ask.queries
        for name, source in sources.items():
            lists[name][span], _ = source(ask, settings.per_source, allowed)
    return learn_blends(lists, relevant, queries, protocol, settings.rank_constant)


def _write(
    work: Work,
    shop: Shop,
    requests: Requests,
    window: str,
    sources: Mapping[str, Source],
    blends: Mapping[str, Blend],
    variants: NDArray[np.int32] | None,
    protocol: str,
    name: str,
) -> str:
    """Write the candidates of one window, and return how many there are, for a person."""
    settings = work.config.retrieval
    vectors = _user_vectors(work, window)
    counts = np.zeros(len(requests), dtype=np.int64)
    asked = blocks(shop, requests, vectors, filter_seen=PROTOCOLS[protocol], size=settings.block)
    with (
        CandidateWriter(work.out / f"{name}.parquet") as file,
        tqdm(total=len(requests), desc=name, unit="request") as bar,
    ):
        for rows, ask, allowed in asked:
            found = find_candidates(
                sources, ask, allowed, settings.per_source, settings.candidates, blends, protocol, variants
            )
            ids = requests.request_id[rows]
            file.write(ids, found.items, found.scores, found.sources, found.ranks, found.source_scores)
            counts[rows] = (found.items != NO_ITEM).sum(axis=1)
            bar.update(len(ids))
    return f"{len(requests):,} requests, {counts.mean():.0f} candidates each on average, {counts.min()} at least"


def _user_vectors(work: Work, window: str) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = np.load(work.run.stage("embed") / f"users_{window}.npy", mmap_mode="r")
    return vectors


def _say_variants(variants: NDArray[np.int32]) -> str:
    sizes = np.bincount(variants)
    several = sizes[sizes > 1]
    return f"one variant a list: {several.sum():,} items in {len(several):,} groups of declared variants"


def _say(protocol: str, blends: Mapping[str, Blend]) -> Iterator[str]:
    """Tell the blends of a protocol; the one for search terms only where it was learned from some."""
    for query, label in (("", protocol), ("any", f"{protocol}, with search terms")):
        blend = blends[blend_name(protocol, query)]
        if query and not blend.requests:
            continue
        weights = ", ".join(f"{name} {weight:g}" for name, weight in blend.weights.items())
        told = f"blend ({label}): {weights}, rank constant {blend.rank_constant:g}"
        ndcg = ", ".join(f"{name} {value:.4f}" for name, value in blend.ndcg.items())
        yield f"{told}; NDCG@{CUT} on {blend.requests:,} fit requests: {ndcg}" if blend.requests else told
