"""Stages: what each reads, what it depends on and where its function is.

What makes up a stage's key: ``pipeline.stage_key``; how it is run and sealed: ``pipeline.run_stages``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from configs.schema import Config
from pipeline.run_folder import RunFolder


@dataclass(frozen=True)
class Outcome:
    """What a stage has to say when it is done."""

    lines: list[str]
    """What it wrote and how well it went, for a person."""
    published: list[Path] = field(default_factory=list)
    """Files that it put into the run folder's root (``metrics.json``); a change to one makes the stage run again."""


@dataclass(frozen=True)
class Work:
    """What a stage gets: the whole config, the run folder, and an empty folder to write into."""

    config: Config
    run: RunFolder
    out: Path
    name: str
    key: str

    def scratch(self) -> Path:
        """Return the folder for checkpoints that survive a cut-off of this very work."""
        return self.run.scratch(self.name, self.key)


@dataclass(frozen=True)
class Stage:
    """A verb of the pipeline and what it depends on."""

    name: str
    sections: tuple[str, ...]
    """Sections of the config, or single settings as ``section.key``, that change its result."""
    after: tuple[str, ...]
    """Stages whose files it reads."""
    module: str = ""
    """Where its function is; a module of its own name where left empty."""

    @property
    def function(self) -> Callable[[Work], Outcome]:
        """The stage's function; imported here because torch alone takes seconds."""
        name = self.name.replace("-", "_")
        stage_function: Callable[[Work], Outcome] = getattr(import_module(f"pipeline.{self.module or name}"), name)
        return stage_function


STAGES = (
    Stage("ingest", ("data", "bazaar"), ()),
    Stage("prepare", ("data", "prepare", "text", "evaluate.targets", "run.seed"), ("ingest",)),
    Stage("adapt", ("text", "run.seed"), ("prepare",)),
    Stage(
        "train-towers",
        (
            "towers",
            "text",
            "prepare.targets",
            "evaluate.targets",
            "evaluate.filter_seen",
            "run.seed",
            "tracking.loggers",
        ),
        ("ingest", "prepare", "adapt"),
    ),
    Stage("embed", ("text",), ("prepare", "adapt", "train-towers")),
    Stage("index", ("retrieval", "run.seed"), ("embed",)),
    Stage(
        "retrieve",
        ("retrieval", "graph", "prepare.targets", "evaluate.targets", "evaluate.filter_seen", "evaluate.new_items_too"),
        ("ingest", "prepare", "embed", "index"),
    ),
    Stage("train-ranker", ("ranking", "text", "run.seed"), ("prepare", "adapt", "embed", "retrieve")),
    Stage(
        "rank",
        (
            "ranking",
            "rank",
            "after",
            "data.item_category",
            "text.terms_min_users",
            "prepare",
            "evaluate",
            "retrieval",
            "run.seed",
        ),
        ("ingest", "prepare", "adapt", "embed", "retrieve", "train-ranker"),
    ),
    Stage(
        "evaluate",
        (
            "evaluate",
            "rank",
            "after",
            "retrieval",
            "bazaar",
            "data.reader",
            "data.item_category",
            "data.event_intent",
            "prepare.intent_buys",
            "prepare.intent_items",
            "prepare.intent_returns",
            "data.sensitive",
            "text.terms_min_users",
            "export.hash_key_variable",
            "prepare.split",
            "prepare.targets",
            "run.name",
            "run.seed",
        ),
        # The report shows both trainings too.
        ("ingest", "prepare", "train-towers", "embed", "index", "retrieve", "train-ranker", "rank"),
    ),
    Stage(
        "export",
        (
            "export",
            "rank",
            "after",
            "data.item_text",
            "data.item_columns",
            "data.item_category",
            "data.sensitive_categories",
            "text",
            "prepare",
            "retrieval",
            "graph",
            "evaluate",
            "ranking.encoder",
            "run.name",
            "run.seed",
        ),
        (
            "ingest",
            "prepare",
            "adapt",
            "train-towers",
            "embed",
            "index",
            "retrieve",
            "train-ranker",
            "rank",
            "evaluate",
        ),
    ),
    Stage("register", ("tracking",), ("ingest", "prepare", "train-towers", "train-ranker", "evaluate", "export")),
)
NAMES = tuple(stage.name for stage in STAGES)
ITEM_STAGES = tuple(
    Stage(name, sections, after, module="items_only")
    for name, sections, after in (
        ("ingest", ("data",), ()),
        ("prepare", ("data", "text"), ("ingest",)),
        ("embed", ("text",), ("prepare",)),
        ("index", (), ("embed",)),
        ("retrieve", ("retrieval",), ("ingest", "prepare")),
        (
            "export",
            ("export", "after", "evaluate.item_group", "data", "text", "retrieval", "run.name"),
            ("ingest", "prepare", "embed", "index", "retrieve"),
        ),
    )
)
"""Stages of a shop without a log."""
FRONT = "front.json"
"""In the run folder's root, where ``mercato front`` measured rerankers."""
NOISE = "robustness.json"
"""Likewise, where ``mercato robustness`` tried noise."""
SHARED = ("train-towers", "embed")
"""Stages that several ranks work on together."""
TEACHING = ("train-towers", "embed", "index", "retrieve", "train-ranker")
"""Stages of a teacher's run that its pupils' towers read (``towers.teacher``)."""
