"""The segments of a run: those that every shop has, and those by the features that its config names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.feature_segments import Feature, feature_segments
from commerce.histories import Histories
from commerce.metrics import Relevant
from commerce.records import Requests
from commerce.segments import Segment, events_before, find_segments
from configs.errors import InputError
from pipeline.asked import WINDOW, Evaluated
from pipeline.run_folder import RunFolder


def segments_of(
    run: RunFolder,
    requests: Requests,
    relevant: Relevant,
    histories: Histories,
    items: int,
    evaluate: Mapping[str, Any],
    data: Mapping[str, Any],
) -> tuple[list[Segment], list[str], NDArray[np.int64]]:
    """Return the segments, sentences on values that were joined, and each item's events before the window.

    Args:
        run: where ``prepare`` and ``ingest`` have finished.
        requests: those measured.
        relevant: row by row.
        histories: of all users.
        items: in the catalogue.
        evaluate: the section of that name; runs of old have no ``segments`` in it.
        data: the section of that name, which says what features there are.

    Raises:
        InputError: if a named feature is in no table.
    """
    cuts = np.load(run.stage("prepare") / "cuts.npz")[WINDOW]
    events = events_before(histories, cuts, items)
    segments, notes = find_segments(requests, relevant, histories, cuts, events), []
    for name in evaluate.get("segments", ()):
        parts, note = feature_segments(
            _feature(run, name, data), requests.user, relevant, evaluate["segment_min_users"]
        )
        segments += [part for part in parts if 0 < part.keep.sum() < len(part.keep)]
        notes += [note] if note else []
    return segments, notes, events


def run_segments(run: Evaluated) -> list[Segment]:
    """Return the segments of a finished measurement, over its relevant items."""
    folder = RunFolder(run.root)
    data = (folder.manifest("ingest") or {})["settings"]["data"]
    found, _, _ = segments_of(
        folder, run.requests, run.relevant, run.histories, run.metrics["items"], run.settings["evaluate"], data
    )
    return found


def _feature(run: RunFolder, name: str, data: Mapping[str, Any]) -> Feature:
    kind, _, column = name.partition(":")
    path = run.stage("ingest") / f"{kind}s.parquet"
    schema = pq.read_schema(path)
    if column not in schema.names:
        raise InputError(
            f"evaluate.segments names {name}, but {path} has no column {column}; it has {', '.join(schema.names[2:])}"
        )
    values = pq.read_table(path, columns=[kind, column]).sort_by(kind)[column]
    declared = [*data[f"{kind}_categorical"], *data[f"{kind}_numeric"]]
    # What is only sensitive was declared neither a category nor a number.
    numeric = column in data[f"{kind}_numeric"] or (column not in declared and _holds_numbers(values.type))
    return Feature(name, values.to_pylist(), numeric)


def _holds_numbers(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
