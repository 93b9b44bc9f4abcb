"""The files in which packages meet: requests, candidates, rankings, mined negatives, lessons, the graph; each with its
schema.

Every file carries its format and version in the schema's metadata; a reader refuses another version.
Long tables are sorted by (request, rank) so that a request's rows lie together. Candidates are streamed by a contract:
requests ascend, and all rows of one lie together (``commerce.candidates`` writes them so, ``ranking.lists`` refuses a
file that is not so).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

VERSION = "1"

REQUESTS = pa.schema(
    [
        ("request_id", pa.int64()),  # position in the file
        ("window", pa.string()),  # ranker, validation or test
        ("half", pa.string()),  # of validation users: fit or gate; "" elsewhere
        ("user", pa.int32()),
        ("time", pa.int64()),  # microseconds; only strictly earlier events are visible
        ("history_end", pa.int64()),  # absolute position in the histories where the visible ones end
        ("query", pa.int32()),  # code in queries.parquet, -1 without
        ("session", pa.int64()),
        ("intent", pa.int8()),  # code in INTENTS, -1 without a label
        ("items", pa.list_(pa.int32())),  # relevant items, distinct
        ("gains", pa.list_(pa.float32())),  # their gains, same order
    ]
)

CANDIDATES = pa.schema(
    [
        ("request_id", pa.int64()),
        ("item", pa.int32()),
        ("source", pa.string()),  # "blend" for the blended order, else the name of a source
        ("rank", pa.int32()),  # from 0
        ("score", pa.float32()),
    ]
)

RANKINGS = pa.schema(
    [
        ("request_id", pa.int64()),
        ("item", pa.int32()),
        ("rank", pa.int32()),  # from 0
        ("score", pa.float32()),
    ]
)

GRAPH = pa.schema(
    [
        ("item", pa.string()),  # the shop's id
        ("other", pa.string()),  # the shop's id of what the edge leads to
        ("kind", pa.string()),  # complement, substitute; declared ones too: variant, parent
        ("measure", pa.string()),  # swing, lift, cosine; text, declared
        ("weight", pa.float32()),  # in the measure's own unit
        ("support", pa.int32()),  # distinct users who met both; 0 where no user did
        ("source", pa.string()),  # log, text or declared
    ]
)

MINED = pa.schema(
    [
        ("position", pa.int64()),  # of the target event in the histories
        ("rank", pa.int32()),  # from 0, the nearest
        ("item", pa.int32()),  # looked right just before that event and was not chosen
        ("score", pa.float32()),  # cosine with the user's vector at that moment
    ]
)

LESSONS = pa.schema(
    [
        ("position", pa.int64()),  # in the histories, of the target event before which the list was asked for
        ("rank", pa.int32()),  # from 0, in the retriever's order
        ("item", pa.int32()),
        ("score", pa.float32()),  # the teacher's, in nats: log chance up to a constant of the list
    ]
)


@dataclass(frozen=True)
class Requests:
    """Moments at which a user is to be shown a list; arrays are ``[requests]`` unless said.

    Relevant items lie flat: those of request r are ``items[offsets[r]:offsets[r + 1]]``.
    """

    request_id: NDArray[np.int64]
    window: NDArray[np.str_]
    half: NDArray[np.str_]
    user: NDArray[np.int32]
    time: NDArray[np.int64]
    history_end: NDArray[np.int64]
    query: NDArray[np.int32]
    session: NDArray[np.int64]
    intent: NDArray[np.int8]
    offsets: NDArray[np.int64]
    """``[requests + 1]``."""
    items: NDArray[np.int32]
    """``[relevant]``."""
    gains: NDArray[np.float32]
    """``[relevant]``."""

    def __len__(self) -> int:
        return len(self.request_id)

    def relevant(self, row: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the relevant items of the request at ``row`` and their gains."""
        span = slice(int(self.offsets[row]), int(self.offsets[row + 1]))
        return self.items[span], self.gains[span]

    def where(self, keep: NDArray[np.bool_]) -> Requests:
        """Return the requests for which ``keep`` ([requests]) is true; ids stay as they were."""
        rows = np.flatnonzero(keep)
        counts = np.diff(self.offsets)
        flat = np.repeat(keep, counts)
        offsets = np.concatenate([[0], np.cumsum(counts[rows])]).astype(np.int64)
        return Requests(
            request_id=self.request_id[rows],
            window=self.window[rows],
            half=self.half[rows],
            user=self.user[rows],
            time=self.time[rows],
            history_end=self.history_end[rows],
            query=self.query[rows],
            session=self.session[rows],
            intent=self.intent[rows],
            offsets=offsets,
            items=self.items[flat],
            gains=self.gains[flat],
        )

    def of(self, window: str, half: str = "") -> Requests:
        """Return the requests of one window, and of one half of it where ``half`` is given."""
        keep = self.window == window
        if half:
            keep = keep & (self.half == half)
        return self.where(keep)

    def write(self, path: Path) -> None:
        """Write as ``REQUESTS``."""
        columns = {name: getattr(self, name) for name in REQUESTS.names if name not in ("items", "gains")}
        offsets = pa.array(self.offsets, pa.int32())
        columns["items"] = pa.ListArray.from_arrays(offsets, pa.array(self.items, pa.int32()))
        columns["gains"] = pa.ListArray.from_arrays(offsets, pa.array(self.gains, pa.float32()))
        write_table(pa.table({name: columns[name] for name in REQUESTS.names}), REQUESTS, "requests", path)

    @classmethod
    def read(cls, path: Path) -> Requests:
        """Read what ``write`` wrote."""
        table = read_table("requests", path).combine_chunks()
        items = table["items"].combine_chunks()
        gains = table["gains"].combine_chunks()
        flat = {
            name: table[name].to_numpy() for name in REQUESTS.names if name not in ("items", "gains", "window", "half")
        }
        counts = np.asarray(items.value_lengths(), dtype=np.int64)
        return cls(
            window=np.asarray(table["window"].to_pylist(), dtype=np.str_),
            half=np.asarray(table["half"].to_pylist(), dtype=np.str_),
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            items=items.flatten().to_numpy(zero_copy_only=False),
            gains=gains.flatten().to_numpy(zero_copy_only=False),
            **flat,
        )


def write_ranked(
    path: Path, request_id: NDArray[np.int64], items: NDArray[np.int32], scores: NDArray[np.float32]
) -> None:
    """Write ranked lists as ``RANKINGS``; ``items`` and ``scores`` are ``[requests, k]``, best first, -1 padded."""
    kept = items >= 0
    rank = np.broadcast_to(np.arange(items.shape[1], dtype=np.int32), items.shape)
    ids = np.broadcast_to(request_id[:, None], items.shape)
    columns = {"request_id": ids[kept], "item": items[kept], "rank": rank[kept], "score": scores[kept]}
    write_table(pa.table(columns), RANKINGS, "rankings", path)


def read_ranked(path: Path, request_id: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Read ranked lists back as (items, scores), ``[requests, k]`` in the order of ``request_id``, -1 / -inf padded."""
    table = read_table("rankings", path)
    ids, rank = table["request_id"].to_numpy(), table["rank"].to_numpy()
    order = np.argsort(request_id)
    place = np.searchsorted(request_id[order], ids)
    known = (place < len(order)) & (request_id[order][np.minimum(place, len(order) - 1)] == ids)
    rows = order[place[known]]
    width = int(rank.max()) + 1 if len(rank) else 0
    items = np.full((len(request_id), width), -1, dtype=np.int32)
    scores = np.full((len(request_id), width), -np.inf, dtype=np.float32)
    items[rows, rank[known]] = table["item"].to_numpy()[known]
    scores[rows, rank[known]] = table["score"].to_numpy()[known]
    return items, scores


def write_table(table: pa.Table, schema: pa.Schema, name: str, path: Path) -> None:
    """Write ``table`` under ``schema`` with the record's name and version in its metadata."""
    cast = table.cast(schema).replace_schema_metadata({"mercato.record": name, "mercato.version": VERSION})
    pq.write_table(cast, path)


def read_table(name: str, path: Path) -> pa.Table:
    """Read a record.

    Raises:
        ValueError: if the file holds another record, or another version of it.
    """
    check_record(name, path)
    return pq.read_table(path)


def check_record(name: str, path: Path) -> None:
    """Refuse a file that is not this record in this version, having read its footer only.

    Raises:
        ValueError: if the file holds another record, or another version of it.
    """
    found = {key.decode(): value.decode() for key, value in (pq.read_schema(path).metadata or {}).items()}
    came = (found.get("mercato.record"), found.get("mercato.version"))
    if came != (name, VERSION):
        raise ValueError(
            f"{path} holds record {came[0]!r} of version {came[1]!r}, but {name!r} of version {VERSION!r} was "
            "expected; run the stage that writes it again with this version of Mercato"
        )
