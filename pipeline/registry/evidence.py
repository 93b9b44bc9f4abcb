"""What comparing two model versions needs once their run folders are gone: the measures of every single request.

Registered with the version as ``evidence/``. Users, requests and what was relevant in them stand there as the first 64
bits of keyed hashes (``serving.user_keys``), so that two versions recognise the same request and nobody reads who made
it; among ten million requests two of one hash are a chance of 3 in a million.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.comparison import headline_cut
from commerce.differences import ALL
from commerce.metrics import RANKED, find
from commerce.segments import Segment
from configs.errors import InputError
from pipeline.alignment import request_keys
from pipeline.asked import Evaluated
from serving.user_keys import digest, key_check

FOLDER = "evidence"
FORMAT = 1
PROTOCOL = ("split", "targets", "window", "filter_seen", "catalogue")
"""What of ``metrics.json`` has to be the same for two measurements to be of one kind."""
_TERMS, _REQUESTS, _MEASURES = "terms.json", "requests.parquet", "measures.parquet"


@dataclass(frozen=True)
class Evidence:
    """One version's measures, request by request."""

    terms: dict[str, Any]
    """Protocol, precision, what the candidate is guarded by, and which key hashed the ids."""
    request: NDArray[np.uint64]
    """``[requests]``, ascending: who asked when."""
    user: NDArray[np.uint64]
    """``[requests]``."""
    relevant: NDArray[np.uint64]
    """``[requests]``: which items turned out relevant, with which gains."""
    parts: dict[str, Part]
    """By segment; ``ALL`` among them."""


@dataclass(frozen=True)
class Part:
    """The measures of one segment."""

    rows: NDArray[np.int32]
    """``[requests of the segment]``: which requests those are."""
    measures: dict[str, NDArray[np.float64]]
    """By measure, ``ndcg@10``: ``[requests of the segment]``."""


def gather(run: Evaluated, segments: Sequence[Segment], key: bytes, guard: Mapping[str, Any]) -> Evidence:
    """Measure the shipped order of a run request by request.

    Args:
        run: the measurement.
        segments: parts to keep besides all requests.
        key: of the hashes.
        guard: what the version is guarded by: ``metrics``, ``segments``, ``margin``, ``segment_margin``.
    """
    cut = headline_cut(run.settings["evaluate"]["at"])
    found = find(run.lists("mercato")[0], run.relevant)
    user, request, relevant = _hashes(run, key)
    order = np.argsort(request)
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order))
    parts = {}
    for name, keep in {ALL: None, **{segment.name: segment.keep for segment in segments}}.items():
        some = found if keep is None else found.only(keep)
        rows = place if keep is None else place[run.relevant.only(keep).counts > 0]
        parts[name] = Part(rows, {f"{measure}@{cut}": RANKED[measure](some, cut) for measure in guard["metrics"]})
    terms = {
        "format": FORMAT,
        "dataset": run.metrics["dataset"],
        **{name: run.metrics[name] for name in PROTOCOL},
        "seed": run.metrics["seed"],
        "intervals": run.metrics["intervals"],
        "key_check": key_check(key),
        "guard": {**guard, "metrics": [f"{measure}@{cut}" for measure in guard["metrics"]]},
    }
    return Evidence(terms, request[order], user[order], relevant[order], parts)


def write_evidence(evidence: Evidence, folder: Path) -> None:
    """Write the evidence into an empty folder of that name."""
    folder.mkdir()
    (folder / _TERMS).write_text(json.dumps(evidence.terms, indent=1, ensure_ascii=False), encoding="utf-8")
    asked = {"request": evidence.request, "user": evidence.user, "relevant": evidence.relevant}
    pq.write_table(pa.table(asked), folder / _REQUESTS)
    names = [name for name, part in evidence.parts.items() for _ in part.rows]
    columns = {
        measure: np.concatenate([part.measures[measure] for part in evidence.parts.values()])
        for measure in evidence.terms["guard"]["metrics"]
    }
    rows = np.concatenate([part.rows for part in evidence.parts.values()])
    segments = pa.array(names).dictionary_encode()
    pq.write_table(pa.table({"segment": segments, "row": rows, **columns}), folder / _MEASURES)


def read_evidence(folder: Path) -> Evidence:
    """Read what ``write_evidence`` wrote.

    Raises:
        InputError: if it is of another format.
    """
    terms = json.loads((folder / _TERMS).read_text(encoding="utf-8"))
    if terms["format"] != FORMAT:
        raise InputError(
            f"its evidence is of format {terms['format']}, but this version of Mercato reads format {FORMAT}; register "
            "it again"
        )
    asked = pq.read_table(folder / _REQUESTS)
    request, user, relevant = (asked[name].to_numpy() for name in ("request", "user", "relevant"))
    table = pq.read_table(folder / _MEASURES)
    of = np.array(table["segment"].to_pylist(), dtype=object)
    rows = table["row"].to_numpy()
    columns = {measure: table[measure].to_numpy() for measure in terms["guard"]["metrics"]}
    parts = {}
    for name in dict.fromkeys(of):
        here = of == name
        parts[str(name)] = Part(rows[here], {measure: column[here] for measure, column in columns.items()})
    return Evidence(terms, request, user, relevant, parts)


def _hashes(run: Evaluated, key: bytes) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Return hashes of each request's user, of the request, and of what was relevant in it, ``[requests]`` each."""
    users, items = run.ids("user"), run.ids("item")
    hashed = {code: _hash(key, users[code]) for code in np.unique(run.requests.user).tolist()}
    user = [hashed[code] for code in run.requests.user.tolist()]
    request = [
        _hash(key, f"request\0{users[code]}\0{time}\0{number}")
        for code, time, number in request_keys(run.requests, run.requests.user).tolist()
    ]
    relevant = []
    for start, stop in zip(run.relevant.offsets[:-1].tolist(), run.relevant.offsets[1:].tolist(), strict=True):
        chosen = sorted(
            f"{items[item]}\0{gain:.6g}"
            for item, gain in zip(run.relevant.items[start:stop], run.relevant.gains[start:stop], strict=True)
        )
        relevant.append(_hash(key, "relevant\0" + "\0".join(chosen)))
    one, two, three = (np.array(column, dtype=np.uint64) for column in (user, request, relevant))
    return one, two, three


def _hash(key: bytes, text: str) -> int:
    return int.from_bytes(digest(key, text)[:8], "little")
