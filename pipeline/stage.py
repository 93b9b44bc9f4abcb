"""Stages: what each reads, when it may be skipped, and how it is sealed.

A stage's key is a hash of its own settings, the package version and the outputs of the stages before it. A stage
whose key is unchanged is skipped, and says so; one that was cut off left no folder and runs again.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from configs.errors import InputError
from configs.schema import Config, DataConfig
from pipeline.run_folder import FORMAT, RunFolder, sha256


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
SHARED = ("train-towers", "embed")
"""Stages that several ranks work on together."""
TEACHING = ("train-towers", "embed", "index", "retrieve", "train-ranker")
"""Stages of a teacher's run that its pupils' towers read (``towers.teacher``)."""
_WHERE = {"towers": ("accelerator", "devices", "nodes", "strategy")}
"""Settings that say where a stage runs and not what comes out: a training may go on with more ranks, or fewer."""


def run_stages(config: Config, names: Sequence[str] = NAMES, say: Callable[[str], None] = print) -> None:
    """Run the named stages in their natural order, skipping those that are up to date."""
    _refuse_several(names)
    run = RunFolder(Path(config.run.folder))
    run.root.mkdir(parents=True, exist_ok=True)
    for stage in _stages_of(config, names, say):
        run_stage(stage, config, run, say)


def _stages_of(config: Config, names: Sequence[str], say: Callable[[str], None]) -> list[Stage]:
    """Return the stages to run; those that need a log are left out of a whole run where there is none.

    Raises:
        InputError: where nothing is left.
    """
    if not config.data.items_only:
        return [stage for stage in STAGES if stage.name in names]
    stages = [stage for stage in ITEM_STAGES if stage.name in names]
    left_out = [name for name in NAMES if name in names and name not in {stage.name for stage in stages}]
    if left_out and not stages:
        raise InputError(
            f"{', '.join(left_out)} needs a log, and this shop has none (data.events=none); set data.events, or run "
            f"{', '.join(stage.name for stage in ITEM_STAGES)}"
        )
    if left_out:
        say(f"no log (data.events=none), so these stages are left out: {', '.join(left_out)}")
    return stages


def run_stage(stage: Stage, config: Config, run: RunFolder, say: Callable[[str], None] = print) -> None:
    """Run one stage, or say that it is unchanged."""
    if global_rank() > 0:
        _help(stage, config, run)
        return
    for earlier in stage.after:
        run.stage(earlier)
    key = stage_key(stage, config, run)
    if _is_current(run, stage.name, key):
        say(f"{stage.name}: unchanged, skipped")
        return
    started = time.perf_counter()
    temporary = run.open_temporary(stage.name)
    outcome = stage.function(Work(config, run, temporary, stage.name, key))
    seconds = time.perf_counter() - started
    manifest = {
        "format": FORMAT,
        "stage": stage.name,
        "key": key,
        "mercato": version("mercato"),
        "settings": _settings(stage, config),
        "inputs": {name: outputs_digest(run, name) for name in stage.after},
        "seconds": round(seconds, 1),
        "peak_memory_gb": peak_memory_gb(),
        "published": {str(path.relative_to(run.root)): sha256(path) for path in outcome.published},
    }
    run.commit(stage.name, temporary, manifest)
    for line in outcome.lines:
        say(line)
    say(
        f"{stage.name}: done in {seconds:.1f} s, {manifest['peak_memory_gb']} GB of memory at most so far "
        f"-> {run.root / stage.name}"
    )


def peak_memory_gb() -> float:
    """Return the most memory that this process has held at once since it began, in GB (10^9 bytes)."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most * (1 if sys.platform == "darwin" else 1024) / 1e9, 2)


def global_rank() -> int:
    """Return this process's rank among those that torchrun, SLURM or Lightning started together; 0 when alone."""
    for variable in ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK"):
        value = os.environ.get(variable, "0")
        if value.isdigit() and int(value) > 0:
            return int(value)
    return 0


def _refuse_several(names: Sequence[str]) -> None:
    """Raise InputError for many stages at once in processes that torchrun or srun started together."""
    if len(names) == 1 or not any(name in os.environ for name in ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS")):
        return
    from learning.launch import started_together

    if started_together() > 1:
        raise InputError(
            f"{started_together()} processes were started together for {len(names)} stages, most of which are for one; "
            f"start {' and '.join(SHARED)} so, one by one, and the other stages by themselves (docs/many-gpus.md)"
        )


def _help(stage: Stage, config: Config, run: RunFolder) -> None:
    """Take a further rank's part in a stage, sealing nothing: the first rank alone does.

    Lightning starts the same command again for each further rank, so every verb arrives here too.
    """
    if stage.name not in SHARED:
        return
    key = stage_key(stage, config, run)
    if _is_current(run, stage.name, key):
        return
    if stage.name == "train-towers":
        from learning.resume import await_true

        await_true(lambda: run.has_scratch(stage.name, key), "the first rank to begin training")
    stage.function(Work(config, run, run.temporary(stage.name), stage.name, key))
    sys.exit(0)


def stage_key(stage: Stage, config: Config, run: RunFolder) -> str:
    """Return the hash of everything that decides what the stage would write."""
    facts: dict[str, Any] = {
        "stage": stage.name,
        "format": FORMAT,
        "mercato": version("mercato"),
        "settings": _settings(stage, config),
        "inputs": {name: outputs_digest(run, name) for name in stage.after},
    }
    if stage.name in _READERS:
        facts["files"] = _fingerprint(_READERS[stage.name](config))
    if stage.name == "export":
        facts["users_key"], facts["opt_out"] = _users_key(config), _opted_out(config)
    if stage.name == "evaluate":
        facts["users_key"] = _users_key(config)
        front = run.root / FRONT  # the report draws it
        facts |= {"front": sha256(front)} if front.is_file() else {}
    if stage.name == "train-towers" and config.towers.teacher:
        teacher = RunFolder(Path(config.towers.teacher))
        facts["teacher"] = {name: outputs_digest(teacher, name) for name in TEACHING}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def outputs_digest(run: RunFolder, name: str) -> str:
    """Return one hash over all output hashes of a finished stage."""
    manifest = run.manifest(name) or {}
    known = {"outputs": manifest.get("outputs"), "published": manifest.get("published")}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _is_current(run: RunFolder, name: str, key: str) -> bool:
    manifest = run.manifest(name)
    if manifest is None or manifest.get("key") != key:
        return False
    published: dict[str, str] = manifest.get("published", {})
    return all((run.root / file).is_file() and sha256(run.root / file) == digest for file, digest in published.items())


def _settings(stage: Stage, config: Config) -> dict[str, Any]:
    whole = asdict(config)
    chosen: dict[str, Any] = {}
    for name in stage.sections:
        section, _, setting = name.partition(".")
        chosen[name] = whole[section][setting] if setting else whole[section]
        if not setting:
            chosen[name] = {key: value for key, value in chosen[name].items() if key not in _WHERE.get(section, ())}
    return chosen


def _users_key(config: Config) -> str:
    """Return what tells one key of the user-id hashes from another, so that a changed key makes a new bundle."""
    from serving.user_keys import key_check, key_from

    key = key_from(config.export.hash_key_variable) if config.export.include_histories else None
    return key_check(key) if key else ""


def _fingerprint(files: list[Path]) -> list[tuple[str, int, int]]:
    """Return name, size and modification time of every input file, so that a changed log is read again."""
    return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]


def _log_files(config: Config) -> list[Path]:
    from commerce.tables import input_files

    return [*input_files(config.data), *blocked_files(config.data)]


def blocked_files(data: DataConfig) -> list[Path]:
    """Return the files that ``data.blocked`` names.

    Raises:
        InputError: if it names none.
    """
    path = Path(data.folder) / data.blocked
    if data.blocked and not path.is_file():
        raise InputError(
            f"data.blocked={data.blocked}: no file {path}; a text file with an item id a line was expected"
        )
    return [path] if data.blocked else []


def _opted_out(config: Config) -> str:
    """Return the hash of the list of those who opted out, so that a changed one makes a new bundle."""
    path = Path(config.export.opt_out)
    if config.export.opt_out and not path.is_file():
        raise InputError(f"export.opt_out names {path}, which is not there; a file with a user id a line was expected")
    return sha256(path) if config.export.opt_out else ""


def _pair_files(config: Config) -> list[Path]:
    from commerce.pairs import pair_files

    return pair_files(config.relevance)


_READERS: dict[str, Callable[[Config], list[Path]]] = {"ingest": _log_files, "pairs": _pair_files}
"""Stages that read files from outside the run, and which."""
