"""The run whose reranker teaches this run's towers: whether it may, and what it says of lists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.records import Requests
from configs.errors import InputError
from configs.schema import Config, RankingConfig, RetrievalConfig
from learning.hardware import working_device
from pipeline.asking import Shop, blocks, open_sources, statistics_folder
from pipeline.index import towers_of
from pipeline.ranking_inputs import MAIN, NEW_ITEMS, RankingInputs
from pipeline.retrieve import BLENDS, VARIANTS
from pipeline.run_folder import RunFolder
from pipeline.stage import TEACHING
from pipeline.stage_key import outputs_digest
from ranking.fusion import fuse
from ranking.lists import Lists
from ranking.module import Ranker
from ranking.rerank import score_lists
from retrieval.blending import Say, find_candidates
from retrieval.index_folder import open_index

_SAME = ("ingest", "prepare", "adapt")
"""Stages that both runs must have in common, to the bit."""
_FREE = (
    *("teacher", "teaching", "teaching_temperature", "teaching_lists", "round_epochs", "round_rate"),
    *("checkpoint_steps", "chunk_users"),
)
"""Settings of the towers in which the taught run may differ from its teacher's: what makes neither its towers nor what
they are measured by."""
_WINDOW = "ranker"
"""What is counted before this window is all that the towers' own window knows."""


@dataclass(frozen=True)
class Teacher:
    """A run whose gate opened, with the settings that its stages ran under."""

    run: RunFolder
    config: Config
    filter_seen: bool
    """Whether lists leave out what users had."""
    weight: float
    """Of the cross-encoder's scores in the order that ships."""

    def lists(self, requests: Requests, vectors: NDArray[np.float32]) -> Lists:
        """Return the first ``ranking.depth`` candidates that its retriever finds, knowing what it knew of the ranker
        window's requests.

        Args:
            requests: of moments before the ranker window.
            vectors: ``[requests, dim]`` of its user tower.
        """
        config, retrieved = self.config, self.run.stage("retrieve")
        settings, depth = config.retrieval, config.ranking.depth
        shop = Shop.open(self.run.stage("prepare"), config.evaluate.targets or config.prepare.targets)
        index = open_index(self.run.stage("index"), towers_of(self.run))
        sources = open_sources(settings.sources, statistics_folder(self.run, _WINDOW), config, index=index)
        written = json.loads((retrieved / BLENDS).read_text())
        says = {name: Say(blend["weights"], blend["rank_constant"]) for name, blend in written.items()}
        variants = np.load(retrieved / VARIANTS) if settings.variants == "one" else None
        protocol = "filter_seen" if self.filter_seen else "keep_seen"
        parts = []
        for _, ask, allowed in blocks(shop, requests, vectors, filter_seen=self.filter_seen, size=settings.block):
            found = find_candidates(sources, ask, allowed, settings.per_source, depth, says, protocol, variants)
            scores = np.where(found.items >= 0, found.scores, 0.0).astype(np.float32)
            parts.append((found.items, scores, found.ranks, found.source_scores))
        return Lists.whole(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def scores(
        self, requests: Requests, lists: Lists, vectors: NDArray[np.float32], intents: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return what it makes of lists, ``[requests, length]``, in nats; 0 past a list's end.

        It is the score of the order that ships, with the spread that the cross-encoder gave the list: where the
        cross-encoder alone decides, its own score less a constant of the list.

        Args:
            requests: what is asked.
            lists: theirs, of ``lists``.
            vectors: ``[requests, dim]`` of its user tower.
            intents: ``[requests, 3]``, chances that their labels had no part in.
        """
        ranking, inputs = self.config.ranking, RankingInputs.open(self.run, self.config)
        checkpoint = self.run.stage("train-ranker") / "ranker.ckpt"
        ranker = Ranker.load_from_checkpoint(checkpoint, map_location="cpu").to(working_device())
        read = score_lists(
            ranker,
            inputs.described(requests, lists, vectors, intents, inputs.facts(_WINDOW), "describe lessons"),
            tokens_per_batch=ranking.tokens_per_batch,
            precision=ranking.precision,
            label="score lessons",
        )
        kept = lists.kept
        fused = fuse(read, lists.scores, kept, self.weight)
        spread = np.where(kept, read, np.nan)
        return np.where(kept, fused * np.nanstd(spread, axis=1, keepdims=True), 0.0).astype(np.float32)


def open_teacher(config: Config) -> Teacher:
    """Open the run that ``towers.teacher`` names.

    Raises:
        InputError: if it is this very run, is not finished as far as its gate, its gate is closed, or it has other data
            or towers than this run would have.
    """
    run = RunFolder(Path(config.towers.teacher))
    if run.root.resolve() == Path(config.run.folder).resolve():
        raise InputError(
            f"towers.teacher={run.root} is the run's own folder, whose models would teach themselves away; give the "
            "taught run a folder of its own (run.folder=PATH), or let `mercato teach CONFIG` do it"
        )
    _check_whole(run)
    verdict = open_gate(run, config)
    own = RunFolder(Path(config.run.folder))
    other = [name for name in _SAME if outputs_digest(run, name) != outputs_digest(own, name)]
    if other:
        raise InputError(
            f"towers.teacher={run.root} has other data than this run: the outputs of {', '.join(other)} differ; a "
            "teacher must have read the same log under the same settings"
        )
    apart = list(_apart(_settings(run, "train-towers"), config))
    if apart:
        raise InputError(
            f"towers.teacher={run.root} has other towers than this run would have, which starts from them: "
            f"{'; '.join(apart)}; set them alike"
        )
    ranker, retriever = _settings(run, "train-ranker"), _settings(run, "retrieve")
    taught_with = replace(
        config, ranking=RankingConfig(**ranker["ranking"]), retrieval=RetrievalConfig(**retriever["retrieval"])
    )
    filter_seen = config.evaluate.filter_seen or config.towers.repeats == 0
    return Teacher(run, taught_with, filter_seen, float(verdict["weight"]))


def open_gate(run: RunFolder, config: Config) -> dict[str, Any]:
    """Return the verdict on the reranker that would teach.

    Towers that look for what is new to a user (``towers.repeats=0``) are taught by the order of new items, where there
    is one.

    Raises:
        InputError: if its gate is closed, or none was trained.
    """
    verdict: dict[str, Any] = json.loads((run.stage("train-ranker") / "gate.json").read_text())
    new_items = config.towers.repeats == 0 and not config.evaluate.filter_seen and verdict[NEW_ITEMS] is not None
    verdict = verdict[NEW_ITEMS] if new_items else verdict
    if not verdict["shipped"]:
        protocol = NEW_ITEMS if new_items else MAIN
        raise InputError(
            f"{run.root} has no reranker that may teach: the gate of its {protocol} order is closed "
            f"({verdict['reason']}); a reranker that makes lists no better would make the towers no better"
        )
    return verdict


def _check_whole(run: RunFolder) -> None:
    """Refuse a run whose stages do not belong together: one was run again, and those after it were not."""
    for name in TEACHING:
        run.stage(name)
        inputs: dict[str, str] = (run.manifest(name) or {}).get("inputs", {})
        stale = [earlier for earlier, digest in inputs.items() if outputs_digest(run, earlier) != digest]
        if stale:
            raise InputError(
                f"{run.root}: {name} was run before {', '.join(stale)} last changed; run `mercato run CONFIG` for it "
                "again before it teaches"
            )


def _settings(run: RunFolder, name: str) -> dict[str, Any]:
    settings: dict[str, Any] = (run.manifest(name) or {})["settings"]
    return settings


def _apart(theirs: dict[str, Any], config: Config) -> Iterator[str]:
    """Yield what differs between the settings of the teacher's towers and this run's."""
    whole = asdict(config)
    for name, value in theirs.items():
        section, _, setting = name.partition(".")
        if section == "tracking":
            continue
        ours = whole[section] if not setting else {setting: whole[section][setting]}
        for key, one in (value if not setting else {setting: value}).items():
            if not (section == "towers" and key in _FREE) and one != ours.get(key):
                yield f"{section}.{key}={one} there and {ours.get(key)} here"
