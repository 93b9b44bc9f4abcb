"""One user out of the files of a run: what ``mercato forget`` does to each stage's folder.

Codes of other users stay. The user's code keeps its place with an empty id, no features and no events, so that nothing
that is laid out by user has to move; positions in histories move up by the events that are gone.

A stage's folder is copied (by hard links), changed in the copy, sealed anew and put in place in one step.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.columns import NO_QUERY
from commerce.durable import put_in_place, replace_folder
from commerce.histories import Histories
from commerce.records import Requests
from commerce.sensitive import users_of_queries
from pipeline.run_folder import MANIFEST, RunFolder, sha256
from pipeline.search_terms import QUERY_USERS

STAGES = ("evaluate", "rank", "retrieve", "embed", "train-towers", "prepare", "ingest")
"""Stages with rows of single users, in the order in which these are removed: what a later one is found by stays."""
_EVENTS = ("item", "action", "time", "query", "session")
_CHUNK = 4_000_000
_DONE = "forgotten"
"""Key of a stage's manifest: hashes of the users who were taken out of its files."""


@dataclass(frozen=True)
class Change:
    """What was taken out of one file."""

    file: str
    """Within the run folder."""
    what: str
    before: int
    after: int


@dataclass(frozen=True)
class Target:
    """Whom to remove, as the files know them before anything is changed."""

    code: int
    start: int
    stop: int
    """The user's events are at ``start:stop`` of the histories."""
    requests: Requests
    """All, the user's too."""

    @property
    def request_ids(self) -> NDArray[np.int64]:
        """Ids of the user's requests."""
        ids: NDArray[np.int64] = self.requests.request_id[self.requests.user == self.code]
        return ids

    def moved(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where positions of the histories are once the user's events are gone."""
        gone = np.clip(positions - self.start, 0, self.stop - self.start)
        moved: NDArray[np.int64] = positions - gone
        return moved


def find_target(run: RunFolder, code: int) -> Target:
    """Return what ``prepare`` says of a user."""
    prepared = run.stage("prepare")
    offsets = np.load(prepared / "histories" / "offsets.npy")
    requests = Requests.read(prepared / "requests.parquet")
    return Target(code, int(offsets[code]), int(offsets[code + 1]), requests)


def remove_from_stage(
    run: RunFolder, stage: str, target: Target, user: str, note: Callable[[list[Change]], None]
) -> list[Change]:
    """Take a user out of a stage's folder, unless its manifest says that this was done.

    Args:
        run: the run.
        stage: finished.
        target: whom.
        user: their keyed hash, which the manifest notes.
        note: gets what changes just before the new folder takes its place.
    """
    if user in (run.manifest(stage) or {}).get(_DONE, ()):
        return []
    copy = run.root / f".{stage}.forgetting"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(run.stage(stage), copy, copy_function=_link)
    try:
        changes = [change for change in _EDITS[stage](copy, target) if change.before != change.after]
        _reseal(copy, [change.file for change in changes], user)
        whole = [Change(f"{stage}/{change.file}", change.what, change.before, change.after) for change in changes]
        note(whole)
        replace_folder(copy, run.root / stage)
        return whole
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def remove_from_evaluations(run: RunFolder, target: Target) -> list[Change]:
    """Take a user out of lists that were given to ``evaluate --ranking``."""
    changes = []
    for path in sorted((run.root / "evaluations").glob("*.parquet")):
        before, after = drop_rows(path, "request_id", target.request_ids)
        if before != after:
            changes.append(Change(f"evaluations/{path.name}", "rows of lists", before, after))
    return changes


def remove_from_profiles(run: RunFolder, names: list[str]) -> list[Change]:
    """Take a user, by id or hash, out of what ``mercato profiles`` wrote into the run folder."""
    path = run.root / "profiles" / "profiles.parquet"
    if not path.is_file():
        return []
    before, after = drop_rows(path, "user", np.array(names))
    return [Change("profiles/profiles.parquet", "profiles", before, after)] if before != after else []


def drop_rows(path: Path, column: str, values: NDArray[np.generic]) -> tuple[int, int]:
    """Write a Parquet file anew without rows whose ``column`` is one of ``values``; return rows before and after."""
    file = pq.ParquetFile(path)
    before, after = file.metadata.num_rows, 0
    temporary = path.with_name(f".{path.name}.tmp")
    gone = pa.array(values)
    with pq.ParquetWriter(temporary, file.schema_arrow) as writer:
        for batch in file.iter_batches():
            kept = batch.filter(pc.invert(pc.is_in(batch[column], gone.cast(batch[column].type))))
            after += kept.num_rows
            writer.write_batch(kept)
    if before == after:
        temporary.unlink()
    else:
        put_in_place(temporary, path)
    return before, after


def _evaluate(folder: Path, target: Target) -> Iterator[Change]:
    for path in sorted(folder.glob("rankings*/*.parquet")):
        yield Change(
            f"{path.parent.name}/{path.name}", "rows of lists", *drop_rows(path, "request_id", target.request_ids)
        )
    gone = set(target.request_ids.astype(str).tolist())
    for path in sorted(folder.glob("requests*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        kept = [row for row in rows if row[0] not in gone]

        def write(temporary: Path, kept: list[list[str]] = kept) -> None:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(kept)

        _put(path, write)
        yield Change(path.name, "requests", len(rows) - 1, len(kept) - 1)


def _lists(folder: Path, target: Target) -> Iterator[Change]:
    for path in sorted(folder.glob("*.parquet")):
        if "request_id" in pq.read_schema(path).names:
            yield Change(path.name, "rows of lists", *drop_rows(path, "request_id", target.request_ids))


def _embed(folder: Path, target: Target) -> Iterator[Change]:
    for window in np.unique(target.requests.window):
        kept = target.requests.user[target.requests.window == window] != target.code
        for name in (f"users_{window}.npy", f"intents_{window}.npy"):
            vectors = np.load(folder / name, mmap_mode="r")
            _save(folder / name, vectors[kept])
            yield Change(name, "rows of requests", len(kept), int(kept.sum()))


def _train_towers(folder: Path, target: Target) -> Iterator[Change]:
    for path in sorted([*folder.glob("round-*.parquet"), *folder.glob("lessons.parquet")]):
        before, after = drop_rows(path, "position", np.arange(target.start, target.stop))
        table = pq.read_table(path)
        moved = pa.array(target.moved(table["position"].to_numpy()))
        table = table.set_column(table.schema.get_field_index("position"), table.schema.field("position"), moved)
        _put_table(path, table)
        what = "mined negatives" if path.name.startswith("round") else "items of lessons"
        yield Change(path.name, what, before, after)


def _prepare(folder: Path, target: Target) -> Iterator[Change]:
    histories = Histories.open(folder / "histories")
    events, gone = len(histories.time), target.stop - target.start
    own = np.unique(histories.query[target.start : target.stop])
    own = own[own != NO_QUERY]
    yield from _histories(folder / "histories", target, events, gone)
    for name in ("cuts.npz", "learned.npz"):
        with np.load(folder / name) as arrays:
            moved = {window: target.moved(positions) for window, positions in arrays.items()}
        _put_arrays(folder / name, moved)
        yield Change(name, "positions moved up", events, events - gone)
    labels = np.load(folder / "position_intents.npy", mmap_mode="r")
    _save(folder / "position_intents.npy", np.delete(labels, slice(target.start, target.stop)))
    yield Change("position_intents.npy", "labels of events", events, events - gone)
    kept = target.requests.where(target.requests.user != target.code)
    moved_ends = target.moved(kept.history_end)
    _put(folder / "requests.parquet", lambda temporary: _with_ends(kept, moved_ends).write(temporary))
    yield Change("requests.parquet", "requests", len(target.requests), len(kept))
    yield from _features(folder, target)
    users = _query_users(folder, histories)
    users[own] -= 1
    _save(folder / QUERY_USERS, users)
    yield Change(QUERY_USERS, "users of queries", int(users.sum()) + len(own), int(users.sum()))
    yield _queries(folder / "queries.parquet", own[users[own] <= 0])


def _query_users(folder: Path, histories: Histories) -> NDArray[np.int32]:
    """Return how many users typed each query; counted where a run of old has not."""
    path = folder / QUERY_USERS
    if not path.is_file():
        return users_of_queries(histories, pq.read_metadata(folder / "queries.parquet").num_rows)
    users: NDArray[np.int32] = np.load(path)
    return users


def _histories(folder: Path, target: Target, events: int, gone: int) -> Iterator[Change]:
    for name in _EVENTS:
        source = np.load(folder / f"{name}.npy", mmap_mode="r")

        def write(temporary: Path, source: NDArray[np.generic] = source) -> None:
            if events == gone:
                np.save(temporary, source[:0])
                return
            array = np.lib.format.open_memmap(temporary, "w+", source.dtype, (events - gone,))
            for first in range(0, events - gone, _CHUNK):
                place = np.arange(first, min(first + _CHUNK, events - gone))
                array[place] = source[np.where(place < target.start, place, place + gone)]
            array.flush()

        _put(folder / f"{name}.npy", write)
        yield Change(f"histories/{name}.npy", "events", events, events - gone)
    _save(folder / "offsets.npy", target.moved(np.load(folder / "offsets.npy")))
    yield Change("histories/offsets.npy", "events", events, events - gone)


def _features(folder: Path, target: Target) -> Iterator[Change]:
    for name in ("categorical", "numeric", "numeric_mask", "vectors", "vectors_mask"):
        path = folder / "users_features" / f"{name}.npy"
        features = np.load(path)
        known = int(np.count_nonzero(features))
        features[target.code] = 0
        _save(path, features)
        yield Change(f"users_features/{name}.npy", "values that are no zero", known, int(np.count_nonzero(features)))


def _queries(path: Path, alone: NDArray[np.integer]) -> Change:
    """Empty the texts of queries that nobody else typed."""
    table = pq.read_table(path)
    texts = table["text"].to_pylist()
    places = {code: place for place, code in enumerate(table["query"].to_pylist())}
    before = sum(map(bool, texts))
    for code in alone.tolist():
        texts[places[code]] = ""
    table = table.set_column(table.schema.get_field_index("text"), "text", pa.array(texts, pa.string()))
    _put_table(path, table)
    return Change(path.name, "texts of queries", before, sum(map(bool, texts)))


def _ingest(folder: Path, target: Target) -> Iterator[Change]:
    yield Change("events.parquet", "events", *drop_rows(folder / "events.parquet", "user", np.array([target.code])))
    for name, code, id_ in (("users.parquet", "user", "user_id"), ("user_ids.parquet", "code", "id")):
        table = pq.read_table(folder / name)
        place = table[code].to_pylist().index(target.code)
        before = sum(map(bool, table[id_].to_pylist()))
        columns = {
            column: table[column] if column == code else _replaced(table[column], place, "" if column == id_ else None)
            for column in table.column_names
        }
        emptied = pa.table(columns)
        _put_table(folder / name, emptied)
        yield Change(name, "users with an id", before, sum(map(bool, emptied[id_].to_pylist())))
    path = folder / "summary.json"
    summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    rows = pq.read_metadata(folder / "events.parquet").num_rows
    before = int(summary["events"])
    # What each action had is not known any more; the whole is.
    _put(path, lambda temporary: _dump(temporary, {**summary, "events": rows}))
    yield Change(path.name, "events", before, rows)


_EDITS: dict[str, Callable[[Path, Target], Iterator[Change]]] = {
    "evaluate": _evaluate,
    "rank": _lists,
    "retrieve": _lists,
    "embed": _embed,
    "train-towers": _train_towers,
    "prepare": _prepare,
    "ingest": _ingest,
}


def _with_ends(requests: Requests, ends: NDArray[np.int64]) -> Requests:
    return Requests(**{**vars(requests), "history_end": ends})


def _replaced(column: pa.ChunkedArray, place: int, value: Any) -> pa.Array:
    values = column.to_pylist()
    values[place] = value
    return pa.array(values, column.type)


def _link(source: str, target: str) -> None:
    """Link a file into the copy; where the file system has no links, copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _put(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file of the copy anew; the former one, which is linked, stays as it is."""
    temporary = path.with_name(f".new{path.suffix}")
    write(temporary)
    os.replace(temporary, path)


def _save(path: Path, array: NDArray[np.generic]) -> None:
    _put(path, lambda temporary: np.save(temporary, array))


def _put_table(path: Path, table: pa.Table) -> None:
    _put(path, lambda temporary: pq.write_table(table, temporary))


def _put_arrays(path: Path, arrays: dict[str, NDArray[np.int64]]) -> None:
    _put(path, lambda temporary: np.savez(temporary, **arrays))  # type: ignore[arg-type]


def _dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _reseal(folder: Path, changed: list[str], user: str) -> None:
    path = folder / MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for name in changed:
        manifest["outputs"][name] = {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size}
    manifest[_DONE] = [*manifest.get(_DONE, ()), user]
    _put(path, lambda temporary: _dump(temporary, manifest))
