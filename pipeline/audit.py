"""``mercato audit RUN | BUNDLE``: what could identify a person in what leaves the shop.

Looked through are the bundle, the plain export beside it, the report, the metrics and what the experiment log holds of
the run. Files of the run folder's stages are the shop's own working files: they are not.
"""

from __future__ import annotations

import csv
import html
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from commerce.histories import Histories
from commerce.identifying import find_ids, find_patterns, masked, telling_ids
from commerce.sensitive import users_of_queries
from configs.errors import InputError
from configs.schema import TextConfig
from pipeline.run_folder import RunFolder
from pipeline.search_terms import QUERY_USERS, told_query_texts
from serving.golden import QUERIES
from serving.manifest import MANIFEST
from serving.strings import Strings

PUBLISHED = ("metrics.json", "metrics_new_items.json", "report.html")
"""Files in a run folder's root that are made to be shown."""
_TEXTS = (".json", ".jsonl", ".csv", ".parquet", ".html", ".txt", ".yaml", ".md", ".py", ".sha256", ".sig")
_USER_COLUMN = re.compile(r"(^|_)(user|customer|household|member|shopper|buyer)(_?ids?)?$", re.IGNORECASE)
"""Names of columns that hold ids; ``users`` is a count."""
_ID_COLUMN = re.compile(_USER_COLUMN.pattern.replace("(_?ids?)?", "_?ids?"), re.IGNORECASE)
"""Names of columns whose numbers are ids; `member` alone, in a tokenizer's vocabulary say, counts otherwise."""
_HASH = re.compile(r"[0-9a-f]{64}")
_SCRIPT = re.compile(r"<script(?![^>]*json)[^>]*>.*?</script>|<style[^>]*>.*?</style>", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
_SHOWN = 20


@dataclass(frozen=True)
class Finding:
    """Something that could identify a person, in one file."""

    kind: str
    file: str
    place: str
    """Of the first one."""
    count: int
    example: str
    """The first one, masked."""

    def __str__(self) -> str:
        return f"{self.file}: {self.count:,} times {self.kind}, first at {self.place}: {self.example}"


@dataclass(frozen=True)
class Found:
    """What an audit came to."""

    findings: list[Finding]
    files: int
    """Looked through."""
    unread: int
    """Files of numbers alone (arrays, graphs, indexes) that hold no text."""
    notes: list[str] = field(default_factory=list)
    """What was not looked for, and why."""


@dataclass(frozen=True)
class Known:
    """What a shop knows of its users, to be looked for."""

    users: frozenset[str] = frozenset()
    items: frozenset[str] = frozenset()
    rare: frozenset[str] = frozenset()
    """Search terms that hardly anybody typed, without those that are a title, brand or category besides."""

    @classmethod
    def of(cls, run: RunFolder, least: int) -> Known:
        """Read the ids of a run, and the queries that fewer than ``least`` users typed."""
        ingested = run.stage("ingest")
        users, items = (
            frozenset(id_ for id_ in pq.read_table(ingested / f"{kind}_ids.parquet")["id"].to_pylist() if id_)
            if (ingested / f"{kind}_ids.parquet").is_file()
            else frozenset[str]()
            for kind in ("user", "item")
        )
        return cls(users, items, _rare_queries(run, least))

    @cached_property
    def telling(self) -> frozenset[str]:
        """Ids that are looked for in running text."""
        return telling_ids(self.users, self.items)


@click.command(short_help="List what could identify a person.")
@click.argument("path", type=click.Path(path_type=Path), metavar="RUN|BUNDLE")
@click.option("--min-users", default=None, type=int, help="Users who must have typed a query; as the run was told.")
@click.option("--json", "as_json", is_flag=True, help="Print all findings as JSON.")
def audit(path: Path, min_users: int | None, as_json: bool) -> None:
    """List what could identify a person in RUN's bundle, report and tracked files, or in a BUNDLE; exit code 1 then."""
    found = audit_path(path, min_users)
    if as_json:
        told = {"files": found.files, "unread": found.unread, "notes": found.notes}
        click.echo(
            json.dumps({**told, "findings": [vars(one) for one in found.findings]}, ensure_ascii=False, indent=1)
        )
    else:
        click.echo("\n".join(audit_lines(found)))
    if found.findings:
        raise SystemExit(1)


def audit_lines(found: Found) -> list[str]:
    """Return an audit in lines for a person."""
    lines = [str(finding) for finding in found.findings[:_SHOWN]]
    if len(found.findings) > _SHOWN:
        lines.append(f"and {len(found.findings) - _SHOWN:,} more; --json lists all")
    lines += [f"audit: {note}" for note in found.notes]
    verdict = "nothing that could identify a person" if not lines[: len(found.findings)] else "see above"
    return [
        *lines,
        f"audit: {found.files:,} files looked through ({found.unread:,} more hold numbers alone): {verdict}",
    ]


def passed(found: Found, policy: str) -> list[str]:
    """Return what to say of an audit before a bundle is put in place.

    Args:
        found: the audit.
        policy: ``export.audit``.

    Raises:
        InputError: if something was found and that is to be refused.
    """
    if found.findings and policy == "refuse":
        first = "; ".join(str(finding) for finding in found.findings[:3])
        raise InputError(
            f"{len(found.findings)} places could identify a person: {first}. Mend what they come from, or let them "
            "pass with export.audit=warn; no bundle was written"
        )
    return audit_lines(found)


def audit_path(path: Path, min_users: int | None = None) -> Found:
    """Audit a run folder or a bundle.

    Raises:
        InputError: if ``path`` is neither.
    """
    if (path / MANIFEST).is_file() and (path / "item_ids").is_dir():
        run = RunFolder(path.absolute().parent)
        of_run = run.manifest("ingest") is not None and path.name == "bundle"
        least = _least(run if of_run else None, min_users)
        known = Known.of(run, least) if of_run else Known()
        notes = [] if of_run else ["ids of users are not looked for: no run folder around this bundle tells them"]
        return _joined([*_files(path, path.name, known), *_rare(path, least)], [path], notes)
    run = RunFolder(path)
    if run.manifest("ingest") is None:
        raise InputError(
            f"{path} is neither a run folder (with a finished ingest) nor a bundle (with {MANIFEST} and item_ids)"
            "; name one of them"
        )
    bundle = path / "bundle"
    notes = [] if bundle.is_dir() else ["there is no bundle yet; run `mercato export CONFIG`"]
    with tempfile.TemporaryDirectory() as scratch:
        tracked, said = _tracked(run, Path(scratch))
        return _audit_run(run, bundle, _least(run, min_users), [*notes, *said], tracked)


def audit_export(run: RunFolder, bundle: Path, min_users: int) -> Found:
    """Audit a new bundle, still under another name, and the report and metrics that go with it."""
    return _audit_run(run, bundle, min_users, [], [])


def _audit_run(run: RunFolder, bundle: Path, least: int, notes: list[str], more: list[Path]) -> Found:
    known = Known.of(run, least)
    places = [run.root / name for name in PUBLISHED if (run.root / name).is_file()]
    findings = [finding for place in places for finding in _files(place, place.name, known)]
    if bundle.is_dir():
        findings += [*_files(bundle, "bundle", known), *_rare(bundle, least)]
        places.append(bundle)
    plain = run.root / "plain"
    if plain.is_dir():
        findings += _files(plain, "plain", known)
        places.append(plain)
    for place in more:
        findings += _files(place, f"tracked/{place.name}", known)
    return _joined(findings, [*places, *more], notes)


def _tracked(run: RunFolder, scratch: Path) -> tuple[list[Path], list[str]]:
    """Fetch what the experiment log holds of the run, without the bundle, which is looked through as it is."""
    path = run.root / "register" / "registered.json"
    if not path.is_file():
        return [], ["nothing was registered, so no tracked files were looked through"]
    from pipeline.registry.tracked import fetch_tracked

    facts = json.loads(path.read_text(encoding="utf-8"))
    return fetch_tracked(facts["uri"], facts["run"], scratch)


def _least(run: RunFolder | None, min_users: int | None) -> int:
    """Return how many users must have typed a query: as said, as the run was told, or the default."""
    if min_users is not None:
        return min_users
    settings = ((run.manifest("prepare") if run else None) or {}).get("settings", {})
    return int(settings.get("text", {}).get("terms_min_users", TextConfig().terms_min_users))


def _rare_queries(run: RunFolder, least: int) -> frozenset[str]:
    """Return the queries that fewer than ``least`` users typed; what the shop says itself identifies nobody."""
    prepared = run.root / "prepare"
    if not (prepared / QUERY_USERS).is_file():
        return frozenset()
    told = told_query_texts(prepared, least)
    texts = pq.read_table(prepared / "queries.parquet").sort_by("query")["text"].to_pylist()
    rare = {text for text, shown in zip(texts, told, strict=True) if text and not shown}
    with (prepared / "item_fields.jsonl").open(encoding="utf-8") as file:
        for line in file:
            for value in json.loads(line).values():
                if isinstance(value, str):
                    rare.difference_update({value, *value.split(" > ")})
    return frozenset(rare.difference(QUERIES))


def _joined(findings: list[Finding], places: list[Path], notes: list[str]) -> Found:
    files = [path for place in places for path in (place.rglob("*") if place.is_dir() else [place]) if path.is_file()]
    read = sum(_reads(path) for path in files)
    return Found(sorted(findings, key=lambda one: (one.kind, one.file)), read, len(files) - read, notes)


def _reads(path: Path) -> bool:
    return path.suffix in _TEXTS or _holds_strings(path)


def _holds_strings(path: Path) -> bool:
    """Return whether a file is the text of a folder of ``Strings``."""
    return path.name == "text.npy" and path.with_name("offsets.npy").is_file()


def _rare(bundle: Path, least: int) -> list[Finding]:
    """Find search terms in a bundle that fewer than ``least`` of its users typed."""
    if not (bundle / "queries").is_dir():
        return []
    texts = Strings.open(bundle / "queries")
    counts = np.zeros(len(texts), dtype=np.int32)
    if (bundle / "users" / "histories").is_dir():
        counts = users_of_queries(Histories.open(bundle / "users" / "histories"), len(texts))
    rare = [code for code in np.flatnonzero(counts < least).tolist() if texts[code]]
    if not rare:
        return []
    kind = f"a query typed by fewer than {least} users"
    return [Finding(kind, "bundle/queries", f"query {rare[0]}", len(rare), masked(texts[rare[0]]))]


def _files(place: Path, name: str, known: Known) -> list[Finding]:
    """Look through a file, or all files below a folder, whose paths begin with ``name`` in what is said."""
    paths = sorted(place.rglob("*")) if place.is_dir() else [place]
    findings = []
    for path in paths:
        if path.is_file() and _reads(path):
            told = name if path == place else f"{name}/{path.relative_to(place).as_posix()}"
            findings += _of_file(path, told, known)
    return findings


def _of_file(path: Path, name: str, known: Known) -> list[Finding]:
    counts: Counter[str] = Counter()
    first: dict[str, tuple[str, str]] = {}
    for place, column, text in _texts(path):
        for kind, found in _in_text(column, text, known):
            counts[kind] += 1
            first.setdefault(kind, (place, masked(found)))
    return [Finding(kind, name, first[kind][0], count, first[kind][1]) for kind, count in counts.items()]


def _in_text(column: str, text: str, known: Known) -> Iterator[tuple[str, str]]:
    if _HASH.fullmatch(text):
        return
    if text in known.rare and column != "":
        yield "a query that few users typed", text
    for kind, found in find_patterns(text):
        yield f"a {kind}", found
    if known.users:
        if text in known.users and _USER_COLUMN.search(column):
            yield "the id of a user", text
        else:
            for found in find_ids(text, known.telling):
                yield "the id of a user", found


def _texts(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (place, column or key, text) of every text in a file; numbers are none."""
    if path.suffix == ".npy":
        strings = Strings.open(path.parent)
        for code in range(len(strings)):
            yield f"row {code}", "", strings[code]
    elif path.suffix == ".parquet":
        yield from _of_parquet(path)
    elif path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                for column, text in row.items():
                    yield f"line {number}, {column}", column or "", text if isinstance(text, str) else ""
    elif path.suffix == ".jsonl":
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                for place, key, text in _of_json(json.loads(line), ""):
                    yield f"line {number}{place}", key, text
    elif path.suffix == ".json":
        yield from _of_json(json.loads(path.read_text(encoding="utf-8")), "")
    elif path.suffix == ".html":
        # Scripts draw, data lies in the page; what a browser shows is what is read.
        shown = html.unescape(_TAG.sub("\n", _SCRIPT.sub("", path.read_text(encoding="utf-8"))))
        for number, line in enumerate(shown.splitlines(), start=1):
            yield f"line {number} of the text", "text", line.strip()
    else:
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            yield f"line {number}", "", line


def _of_parquet(path: Path) -> Iterator[tuple[str, str, str]]:
    file = pq.ParquetFile(path)
    columns = [
        one.name for one in file.schema_arrow if pa.types.is_string(one.type) or pa.types.is_large_string(one.type)
    ]
    # Numbers may be the ids of users only where a column is called so.
    columns += [one.name for one in file.schema_arrow if one.name not in columns and _ID_COLUMN.search(one.name)]
    start = 0
    for batch in file.iter_batches(columns=columns):
        for column in columns:
            for place, value in enumerate(batch[column].to_pylist(), start=start):
                if value is not None:
                    yield f"row {place}, {column}", column, str(value)
        start += batch.num_rows


def _of_json(value: Any, place: str, key: str = "") -> Iterator[tuple[str, str, str]]:
    if isinstance(value, str):
        yield place or "the whole", key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if not str(name).replace("_", "").isalpha():  # as the keys of tables are, line after line
                yield f"{place}.{name}", "", str(name)
            yield from _of_json(inner, f"{place}.{name}", str(name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _of_json(inner, f"{place}[{number}]", key)
    elif isinstance(value, int) and not isinstance(value, bool) and _ID_COLUMN.search(key):
        yield place, key, str(value)
