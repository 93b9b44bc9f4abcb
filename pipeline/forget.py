"""``mercato forget RUN --user ID``: a user out of a run's files and its next bundle, with a record as proof."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from commerce.histories import Histories
from commerce.records import Requests
from configs.errors import InputError
from pipeline.forgotten import add, listed, record_path, records, write_record
from pipeline.removal import (
    STAGES,
    Change,
    find_target,
    remove_from_evaluations,
    remove_from_profiles,
    remove_from_stage,
)
from pipeline.run_folder import RunFolder
from pipeline.user_hashes import user_key
from serving.manifest import MANIFEST, bundle_id
from serving.user_keys import KEY_VARIABLE, digest

_STILL = (
    "trained weights (towers, intents, reranker, an encoder trained on the shop's texts) and counts (popularity, "
    "associations, tastes, graph, metrics) hold the user's influence until `mercato run CONFIG` trains and counts anew"
)


@click.command(short_help="Remove a user from a run's files and its next bundle.")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN|CONFIG")
@click.option("--user", default="", help="The shop's id of the user; without, a removal that was cut off is ended.")
@click.option("--absent", is_flag=True, help="Take an id that the run does not know, to keep it out of later logs.")
def forget(run: Path, user: str, absent: bool) -> None:
    """Remove a user from the files of RUN; `mercato export CONFIG` then writes a bundle without them.

    The user stays on a list of keyed hashes in RUN, by which `ingest` leaves them out from now on. What was removed
    from which file is kept as a record.
    """
    from pipeline.cli import run_folder_of

    for line in forget_user(run_folder_of(run), user, absent):
        click.echo(line)


def forget_user(root: Path, user: str, absent: bool = False) -> list[str]:
    """Remove a user, or with an empty id end removals that were cut off; return what to say.

    Raises:
        InputError: for an id that the run does not know, or where nothing was cut off.
    """
    variable = key_variable(root)
    if not user:
        unfinished = [record for record in records(root).values() if record["finished"] is None]
        if not unfinished:
            raise InputError(f"no removal in {root} was cut off; name a user with --user ID")
        known = listed(root, variable)
        return [line for one in unfinished for line in _remove(root, bytes.fromhex(one["user"]), known.key)]
    known, made = listed(root, variable), list[str]()
    path = record_path(root, digest(known.key, user)) if known.key else None
    if path is not None and path.is_file() and records(root)[path]["finished"] is not None:
        return [f"this user was forgotten before: {path}"]
    if user not in _ids(root) and not absent and path is None:
        raise InputError(
            f"user {user} is not among the {sum(map(bool, _ids(root))):,} users of {root}; look at the id, in which "
            "case counts, or add --absent to keep it out of later logs"
        )
    root.mkdir(parents=True, exist_ok=True)
    key, made = user_key(variable, root)
    hash_ = digest(key, user)
    path = record_path(root, hash_)
    if not path.is_file():
        begun: dict[str, Any] = {
            "user": hash_.hex(),
            "begun": _now(),
            "finished": None,
            "changes": [],
            "checks": {},
            "bundles": [],
        }
        write_record(path, begun)
    # On the list before any file: whatever happens now, no later reading of the log brings the user back.
    add(root, known, hash_, key)
    return [*made, *_remove(root, hash_, key)]


def _remove(root: Path, hash_: bytes, key: bytes) -> list[str]:
    """Take one user out of every file, noting each in the record before it changes."""
    path, run = record_path(root, hash_), RunFolder(root)

    def note(changes: list[Change]) -> None:
        record = records(root)[path]
        # A note whose change was cut off is written again with the change.
        kept = [row for row in record["changes"] if row["file"] not in {change.file for change in changes}]
        write_record(path, {**record, "changes": [*kept, *map(asdict, changes)]})

    code = next((code for code, id_ in enumerate(_ids(root)) if id_ and digest(key, id_) == hash_), None)
    if code is not None:
        if run.manifest("prepare") is None:
            raise InputError(f"{root} has an ingest but no prepare; run `mercato prepare CONFIG` first")
        target = find_target(run, code)
        beside = remove_from_evaluations(run, target) + remove_from_profiles(run, [_ids(root)[code], hash_.hex()])
        if beside:
            note(beside)
        for stage in STAGES:
            if run.manifest(stage) is not None:
                remove_from_stage(run, stage, target, hash_.hex(), note)
    shutil.rmtree(root / "scratch", ignore_errors=True)
    reported = _write_report(run)
    record = records(root)[path]
    checks = {**_checks(run, hash_, key), **({"report.html": "written anew"} if reported else {})}
    record = {**record, "finished": _now(), "checks": checks, "still": [_STILL, *_copies(root)]}
    write_record(path, record)
    return _said(path, record)


def _checks(run: RunFolder, hash_: bytes, key: bytes) -> dict[str, Any]:
    """Look for the user in the files as they are now."""
    if run.manifest("ingest") is None:
        return {"files": "the run has none yet"}
    ids = _ids(run.root)
    own = [code for code, id_ in enumerate(ids) if id_ and digest(key, id_) == hash_]
    empty = [code for code, id_ in enumerate(ids) if not id_]
    events = pq.read_table(run.stage("ingest") / "events.parquet", columns=["user"])["user"]
    left = int(pc.sum(pc.is_in(events, pc.cast(np.array(empty), events.type))).as_py() or 0) if empty else 0
    histories = Histories.open(run.stage("prepare") / "histories")
    asked = Requests.read(run.stage("prepare") / "requests.parquet").user
    return {
        "users with the id": len(own),
        "events of users without an id": left,
        "history events of users without an id": int(sum(np.diff(histories.offsets)[empty].tolist())),
        "requests of users without an id": int(np.isin(asked, empty).sum()),
    }


def _write_report(run: RunFolder) -> bool:
    """Write the report anew, which shows some users; return whether there is one."""
    if run.manifest("evaluate") is None or not (run.root / "report.html").is_file():
        return False
    from pipeline.report.compose import write_report

    metrics = json.loads((run.root / "metrics.json").read_text(encoding="utf-8"))
    write_report(run, run.stage("evaluate"), metrics["seed"])
    return True


def _copies(root: Path) -> list[str]:
    """Say which bundles made before still hold the user."""
    found = []
    bundle = root / "bundle"
    if (bundle / MANIFEST).is_file():
        found.append(
            f"bundle {bundle_id(bundle)} in {bundle}, and copies of it, hold the user's history under a keyed hash "
            "until `mercato export CONFIG` writes the next"
        )
    registered = root / "register" / "registered.json"
    if registered.is_file():
        facts = json.loads(registered.read_text(encoding="utf-8"))
        found.append(
            f"model {facts['model']} version {facts['version']} at {facts['uri']} is such a copy, as earlier versions "
            "are; register the next bundle and delete them there"
        )
    return found


def _said(path: Path, record: dict[str, Any]) -> list[str]:
    lines = [
        f"{change['file']}: {change['before']:,} -> {change['after']:,} {change['what']}"
        for change in record["changes"]
    ]
    lines += [f"check: {name}: {found}" for name, found in record["checks"].items()]
    lines += [f"still: {sentence}" for sentence in record["still"]]
    return [*lines, f"record: {path} (user {record['user'][:16]}...)"]


def _ids(root: Path) -> list[str]:
    """Return the shop's ids by user code; empty for who was forgotten, none before ``ingest``."""
    path = root / "ingest" / "user_ids.parquet"
    if not path.is_file():
        return []
    ids: list[str] = pq.read_table(path).sort_by("code")["id"].to_pylist()
    return ids


def key_variable(root: Path) -> str:
    """Return the environment variable of the key, as the run's stages were told it."""
    for stage in ("evaluate", "export"):
        settings = (RunFolder(root).manifest(stage) or {}).get("settings", {})
        if "export" in settings:
            return str(settings["export"]["hash_key_variable"])
        if "export.hash_key_variable" in settings:
            return str(settings["export.hash_key_variable"])
    return KEY_VARIABLE


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
