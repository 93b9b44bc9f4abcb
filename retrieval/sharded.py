"""An index past memory: shards, each built to the promise by itself and searched from disk, merged exactly.

Only one shard is held in memory while an index is built, and none while it is searched: inverted lists and raw vectors
are memory-mapped, so that the system keeps what is asked for often and gives up the rest. The best ``k`` of all items
are among the best ``k`` of each shard, so merging loses nothing: what a shard promises for its own list, the whole
keeps for all.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from commerce.durable import write_atomic
from configs.errors import InputError
from retrieval.approximate import best_first
from retrieval.filters import Allowed
from retrieval.index import ItemIndex, checked_queries
from retrieval.recall import Recall, lower_bound, recalls_of

FACTS = "shards.json"
FORMAT = 1
_BLOCK = 256


class ShardedIndex:
    """Several ``ItemIndex`` of different items, searched at once and answered as one."""

    def __init__(self, shards: Sequence[ItemIndex], facts: dict[str, Any]) -> None:
        """Search what ``build`` and ``load`` have opened.

        Args:
            shards: of one width, without an item in common.
            facts: of ``shards.json``.
        """
        self.shards, self.facts = list(shards), facts
        # One thread a shard: FAISS would divide a single query's cells among its own, with more ado.
        self._pool = ThreadPoolExecutor(len(self.shards), initializer=faiss.omp_set_num_threads, initargs=(1,))

    @classmethod
    def build(
        cls,
        folder: Path,
        ids: NDArray[np.integer],
        vectors: NDArray[np.floating],
        queries: NDArray[np.floating],
        *,
        shard_items: int = 2_000_000,
        fresh: NDArray[np.floating] | None = None,
        towers: str = "",
        gpus: int | None = None,
        **promise: Any,
    ) -> ShardedIndex:
        """Write an index of ``vectors`` ([items, dim], best memory-mapped) under ``ids`` ([items]) into ``folder``.

        The first shard chooses among all families, the others build the one that it chose. Building takes about six
        times a shard's vectors of memory. ``shards.json`` is written last: a folder without is no index.

        Args:
            folder: empty, or with an index to be replaced, which is of no use from the first moment on.
            ids: of the items, distinct.
            vectors: as ``ItemIndex.build`` takes them.
            queries: ``[queries, dim]`` of users like those to come; each shard keeps its promise on them.
            shard_items: in a shard at most; shards are of equal size.
            fresh: others, on which the recall of the whole is measured again.
            towers: names what made the vectors.
            gpus: as in ``ItemIndex.build``.
            promise: what each shard has to keep; ``budget_bytes`` is that of all together.

        Raises:
            InputError: as ``ItemIndex.build``; for ids that are not distinct.
        """
        ids = np.asarray(ids)
        if len(ids) != len(vectors) or not len(ids):
            raise InputError(f"an index needs an id for every vector, got {len(ids):,} for {len(vectors):,}")
        ordered = np.sort(ids)
        if (ordered[1:] == ordered[:-1]).any():
            twice = int(ordered[1:][ordered[1:] == ordered[:-1]][0])
            raise InputError(f"item ids must be distinct, but {twice} comes twice; use the item codes of the id map")
        if shard_items < 1:
            raise InputError(f"a shard holds at least one item, got shard_items={shard_items}")
        count = -(-len(ids) // shard_items)
        if promise.get("budget_bytes"):
            promise["budget_bytes"] //= count
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FACTS).unlink(missing_ok=True)
        edges = np.linspace(0, len(ids), count + 1).astype(np.int64)
        for number in range(count):
            part = slice(edges[number], edges[number + 1])
            shard = ItemIndex.build(ids[part], vectors[part], queries, towers=towers, gpus=gpus, **promise)
            shard.save(folder / _name(number))
            if number == 0:
                promise["families"] = (shard.facts["promise"]["family"],)
            del shard  # before the next one is built
        facts = {"format": FORMAT, "towers": towers, "items": len(ids), "shards": count}
        whole = cls([ItemIndex.load(folder / _name(number), 0, mapped=True) for number in range(count)], facts)
        at_k = whole.shards[0].facts["promise"]["at_k"]
        facts["validation"] = asdict(whole.recall(queries, at_k))
        facts["fresh"] = None if fresh is None else asdict(whole.recall(fresh, at_k))
        write_atomic(folder / FACTS, json.dumps(facts, indent=1))
        return whole

    @classmethod
    def load(cls, folder: Path, towers: str | None = None, *, mapped: bool = True) -> ShardedIndex:
        """Open what ``build`` wrote.

        Args:
            folder: as ``build`` left it.
            towers: what must have made the vectors; not asked when left out.
            mapped: whether lists stay on disk; else they are read into memory.

        Raises:
            FileNotFoundError: if there is no whole index.
            InputError: as ``ItemIndex.load``.
        """
        if not (folder / FACTS).is_file():
            raise FileNotFoundError(f"{folder} lacks {FACTS}, so no index was built there to its end; build it again")
        facts = json.loads((folder / FACTS).read_text())
        if facts.get("format") != FORMAT:
            raise InputError(f"{folder / FACTS} is of format {facts.get('format')!r}, but {FORMAT} was expected")
        names = [_name(number) for number in range(facts["shards"])]
        return cls([ItemIndex.load(folder / name, 0, towers, mapped=mapped) for name in names], facts)

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.shards[0].dim

    def search(
        self, vectors: NDArray[np.floating], k: int, allowed: Allowed | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the ``k`` best items of each request and their inner products; all as ``ItemIndex.search``."""
        lists = list(self._pool.map(lambda shard: shard.search(vectors, k, allowed), self.shards))
        items, scores = (np.concatenate(part, axis=1) for part in zip(*lists, strict=True))
        found, best = best_first(k, items, scores, items, scores)
        return found, best

    def recall(self, queries: NDArray[np.floating], k: int, seed: int = 0) -> Recall:
        """Return the recall of lists of ``k`` out of all items, beside exact search over every shard."""
        queries = checked_queries(queries, self.dim)
        recalls = np.empty(len(queries))
        for start in range(0, len(queries), _BLOCK):
            part = queries[start : start + _BLOCK]
            _, scores = self.search(part, k)
            recalls[start : start + _BLOCK] = recalls_of(scores, self._true_last(part, k), min(k, len(self)))
        return lower_bound(recalls, seed)

    def _true_last(self, queries: NDArray[np.float32], k: int) -> NDArray[np.float32]:
        """Return what the k-th best of all items scores, ``[queries]``, less float32 rounding."""
        best, off = [], np.zeros(len(queries))
        for catalogue in (shard.catalogue for shard in self.shards):
            scores, _ = faiss.knn(queries, catalogue.vectors, min(k, len(catalogue)), metric=faiss.METRIC_INNER_PRODUCT)
            best.append(scores)
            off = np.maximum(off, catalogue.rounding(queries))
        joined = -np.sort(-np.concatenate(best, axis=1), axis=1)
        last: NDArray[np.float32] = (joined[:, min(k, joined.shape[1]) - 1] - 2.0 * off).astype(np.float32)
        return last


def _name(number: int) -> str:
    return f"shard-{number:04d}"
