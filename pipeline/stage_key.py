"""Keys: a hash of everything that decides what a stage would write.

That is its own settings, the package version, the outputs of the stages before it, and files from outside the run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from configs.errors import InputError
from configs.schema import Config, DataConfig
from pipeline.run_folder import FORMAT, RunFolder, sha256
from pipeline.stage import FRONT, NOISE, TEACHING, Stage

_ASIDE = {"towers": ("accelerator", "devices", "nodes", "strategy"), "ranking": ("max_minutes",)}
"""Settings that say where a stage runs or what it may cost, and not what comes out: a training may go on with more
ranks, or fewer, and a reranker that is trained stays so when the time allowed is raised for another."""


def stage_key(stage: Stage, config: Config, run: RunFolder) -> str:
    """Return the hash of everything that decides what the stage would write."""
    facts: dict[str, Any] = {
        "stage": stage.name,
        "format": FORMAT,
        "mercato": version("mercato"),
        "settings": settings_of(stage, config),
        "inputs": {name: outputs_digest(run, name) for name in stage.after},
    }
    if stage.name in _READERS:
        facts["files"] = _fingerprint(_READERS[stage.name](config))
    if stage.name == "export":
        facts["users_key"], facts["opt_out"] = _users_key(config), _opted_out(config)
    if stage.name == "evaluate":
        facts["users_key"] = _users_key(config)
        drawn = [run.root / name for name in (FRONT, NOISE)]  # the report draws them
        facts |= {path.stem: sha256(path) for path in drawn if path.is_file()}
    if stage.name == "train-towers" and config.towers.teacher:
        teacher = RunFolder(Path(config.towers.teacher))
        facts["teacher"] = {name: outputs_digest(teacher, name) for name in TEACHING}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def outputs_digest(run: RunFolder, name: str) -> str:
    """Return one hash over all output hashes of a finished stage."""
    manifest = run.manifest(name) or {}
    known = {"outputs": manifest.get("outputs"), "published": manifest.get("published")}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def is_current(run: RunFolder, name: str, key: str) -> bool:
    """Return whether a stage has finished under this key, and what it published is still as it left it."""
    manifest = run.manifest(name)
    if manifest is None or manifest.get("key") != key:
        return False
    published: dict[str, str] = manifest.get("published", {})
    return all((run.root / file).is_file() and sha256(run.root / file) == digest for file, digest in published.items())


def settings_of(stage: Stage, config: Config) -> dict[str, Any]:
    """Return the settings that change a stage's result, by section or by ``section.key``."""
    whole = asdict(config)
    chosen: dict[str, Any] = {}
    for name in stage.sections:
        section, _, setting = name.partition(".")
        chosen[name] = whole[section][setting] if setting else whole[section]
        if not setting:
            chosen[name] = {key: value for key, value in chosen[name].items() if key not in _ASIDE.get(section, ())}
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
