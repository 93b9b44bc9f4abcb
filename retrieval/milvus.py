"""Milvus in the place of the item index: candidates by vector for catalogues that one machine does not hold.

Ids are Mercato's item codes and scores are inner products, as ``ItemIndex`` gives them; ``VectorSource`` takes either.
Milvus comes with the extra ``milvus``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from commerce.columns import NO_ITEM
from configs.errors import InputError
from retrieval.filters import Allowed
from retrieval.index import checked_queries

FACTS = "milvus.json"
FORMAT = 1
ITEM, VECTOR, SINCE, UNTIL = "item", "vector", "available_from", "available_until"
MOST = 16_384
"""Neighbours that Milvus gives at most."""
_AT_ONCE = 1024
Lists = tuple[NDArray[np.int32], NDArray[np.float32]]


@dataclass(frozen=True)
class Collection:
    """What has to be known of a collection to search it; ``milvus.json``."""

    uri: str
    collection: str
    """With its version: a later export makes another, so what is searched never changes its towers."""
    towers: str
    """Hash of the vectors that the towers gave."""
    dim: int
    items: int
    kind: str
    """Of index, in Milvus's words."""
    reach: dict[str, int]
    """Search parameter that keeps the promise, in Milvus's words: ``{"ef": 400}``."""
    opened: int
    """When the last item became available, in microseconds; from then until ``closed`` none has to be filtered out."""
    closed: int
    fields: tuple[str, ...]
    """Declared fields that a filter may name."""
    promise: dict[str, Any]
    """Recall promised and measured; empty where search is exact."""
    format: int = FORMAT


class MilvusIndex:
    """Searches a collection; the drop-in for ``ItemIndex`` in a ``VectorSource``."""

    def __init__(self, client: MilvusClient, known: Collection, where: str = "") -> None:
        """Search what ``milvus_export`` made.

        Args:
            client: connected.
            known: of the collection.
            where: a filter in Milvus's language that every answer passes, over ``known.fields``.
        """
        self.client, self.known, self.where = client, known, where

    @classmethod
    def load(cls, folder: str | Path, *, token: str = "", towers: str | None = None) -> MilvusIndex:
        """Connect to the collection that ``milvus.json`` in ``folder`` names.

        Args:
            folder: as ``save`` left it.
            token: as Milvus takes it, ``user:password`` say; never written.
            towers: what must have made the vectors; not asked when left out.

        Raises:
            InputError: if the file is of another format, the collection is of other towers or gone, or nobody answers.
        """
        folder = Path(folder)
        file = folder / FACTS
        if not file.is_file():
            raise FileNotFoundError(f"{folder} lacks {FACTS}; export the run to Milvus first (mercato milvus RUN)")
        told = json.loads(file.read_text(encoding="utf-8"))
        if told.get("format") != FORMAT:
            raise InputError(f"{file} is of format {told.get('format')!r}, but {FORMAT} was expected; export again")
        known = Collection(**{**told, "fields": tuple(told["fields"])})
        if towers is not None and known.towers != towers:
            raise InputError(
                f"collection {known.collection} holds the vectors of other towers ({known.towers[:12]}, but "
                f"{towers[:12]} ask); export the run to Milvus again"
            )
        client = connect(known.uri, token)
        if not client.has_collection(known.collection):
            raise InputError(f"{known.uri} has no collection {known.collection}; export the run to Milvus again")
        client.load_collection(known.collection)
        return cls(client, known)

    def save(self, folder: Path) -> None:
        """Write ``milvus.json`` into ``folder``."""
        temporary = folder / f".{FACTS}.tmp"
        temporary.write_text(json.dumps(vars(self.known), indent=1), encoding="utf-8")
        temporary.replace(folder / FACTS)

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.known.dim

    def __len__(self) -> int:
        return self.known.items

    def narrowed(self, where: str) -> MilvusIndex:
        """Return the same collection, of which only what passes a filter is found: ``'category == "toys"'``."""
        return MilvusIndex(self.client, self.known, f"({self.where}) and ({where})" if self.where else where)

    def reaching(self, reach: dict[str, int]) -> MilvusIndex:
        """Return the same collection, searched with another parameter."""
        return MilvusIndex(self.client, replace(self.known, reach=reach), self.where)

    def search(self, vectors: NDArray[np.floating], k: int, allowed: Allowed | None = None) -> Lists:
        """Return the ``k`` best items of each request, as ``ItemIndex.search``; scores are Milvus's own, float32.

        Raises:
            InputError: as ``ItemIndex.search``; for more than Milvus gives; for a filter that it does not understand.
        """
        if k < 1:
            raise InputError(f"k must be at least 1, got {k}")
        if allowed is not None and len(allowed) != len(vectors):
            raise InputError(f"filters are for {len(allowed)} requests, but {len(vectors)} came")
        if allowed is not None and allowed.only is not None:
            raise InputError("Milvus filters by the fields that it holds; search MilvusIndex.narrowed(WHERE) instead")
        vectors = checked_queries(vectors, self.dim)
        items = np.full((len(vectors), k), NO_ITEM, dtype=np.int32)
        scores = np.full((len(vectors), k), -np.inf, dtype=np.float32)
        for rows, where, excluded in self._groups(len(vectors), allowed):
            hits = self._hits(vectors[rows], k + max(map(len, excluded), default=0), where)
            for row, found, without in zip(rows, hits, excluded, strict=True):
                codes, values = found
                kept = ~np.isin(codes, without)
                codes, values = codes[kept], values[kept]
                order = np.lexsort((codes, -values))[:k]
                items[row, : len(order)], scores[row, : len(order)] = codes[order], values[order]
        return items, scores

    def _groups(
        self, requests: int, allowed: Allowed | None
    ) -> Iterator[tuple[NDArray[np.int64], str, Sequence[NDArray[np.int32]]]]:
        """Yield (rows, filter, what each excludes): requests of one moment, at most so many at once."""
        if allowed is None:
            moments, excluded = np.zeros(requests, dtype=np.int64), [np.zeros(0, np.int32)] * requests
        else:
            moments, excluded = allowed.moment, list(allowed.excluded)
            opened = (self.known.opened <= moments) & (moments < self.known.closed)
            # Whenever everything is available, one moment is as good as another.
            moments = np.where(opened, self.known.opened, moments)
        for moment in np.unique(moments):
            all_rows = np.flatnonzero(moments == moment)
            everything = allowed is None or moment == self.known.opened
            parts = ["" if everything else f"{SINCE} <= {moment} and {UNTIL} > {moment}", self.where]
            where = " and ".join(f"({part})" for part in parts if part)
            for start in range(0, len(all_rows), _AT_ONCE):
                rows = all_rows[start : start + _AT_ONCE]
                yield rows, where, [excluded[row] for row in rows]

    def _hits(
        self, vectors: NDArray[np.float32], count: int, where: str
    ) -> list[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        if count > MOST:
            raise InputError(
                f"lists of {count:,} were asked for, items to be left out included, but Milvus gives {MOST:,} at most"
            )
        try:
            answer = self.client.search(
                self.known.collection,
                data=list(vectors),
                anns_field=VECTOR,
                limit=min(count, max(1, self.known.items)),
                filter=where,
                search_params={"metric_type": "IP", "params": self.known.reach},
                consistency_level="Strong",
            )
        except MilvusException as error:
            raise InputError(
                f"Milvus at {self.known.uri} refused a search in {self.known.collection}"
                f"{f' where {where}' if where else ''}: {error.message or error}"
            ) from error
        return [
            (
                np.array([hit[ITEM] for hit in hits], dtype=np.int32),
                np.array([hit["distance"] for hit in hits], dtype=np.float32),
            )
            for hits in answer
        ]


def connect(uri: str, token: str = "") -> MilvusClient:
    """Return a client.

    Args:
        uri: of a server, ``http://host:19530``, or the file of a Milvus Lite, which ends with ``.db``.
        token: as Milvus takes it.

    Raises:
        InputError: if nobody answers.
    """
    try:
        return MilvusClient(uri, token=token)
    except MilvusException as error:
        told = error.message or error
        raise InputError(f"no Milvus answers at {uri}: {told}; check the address and the token") from error
