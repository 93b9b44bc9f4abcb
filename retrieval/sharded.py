"""An index past memory: shards of items drawn at random, searched from disk and merged exactly.

Only one shard is held in memory while an index is built, and none while it is searched: inverted lists and raw vectors
are memory-mapped, so that the system keeps what is asked for often and gives up the rest.

Of a list of ``k`` out of all items, a shard holds the ``k / shards`` that chance gave it, give or take: it is built to
bring up a few more than that (``share``) and asked for no more, which takes a fraction of the effort of its own best
``k``. Where all that a shard brought up stands in the merged list, there may be more to it, and it is asked again for
``k``: so merging loses nothing. The promise is that of the whole, measured on it: where the bound misses it, every
shard looks further until it is kept.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from commerce.durable import write_atomic
from configs.errors import InputError
from retrieval.approximate import best_first, padded
from retrieval.catalogue import Catalogue
from retrieval.families import Effort, ever_further
from retrieval.filters import Allowed
from retrieval.index import ItemIndex, checked_queries
from retrieval.promise import Promise
from retrieval.recall import Recall, best_scores, lower_bound, recalls_of

FACTS = "shards.json"
FORMAT = 2
_SPREAD = 4.0
"""Standard deviations, of the number of a list's items in one shard, that are asked for beyond the mean."""


class ShardedIndex:
    """Several ``ItemIndex`` of different items, searched at once and answered as one."""

    def __init__(self, shards: Sequence[ItemIndex], facts: dict[str, Any]) -> None:
        """Search what ``build`` and ``load`` have opened.

        Args:
            shards: of one width, without an item in common.
            facts: of ``shards.json``; ``further`` tells how many steps each shard looks further than it was built to.
        """
        self.facts = facts
        self.shards = [_further(shard, facts["further"]) for shard in shards]
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
            queries: ``[queries, dim]`` of users like those to come, on which the whole keeps the promise.
            shard_items: in a shard at most; shards are of equal size.
            fresh: others, on which the recall of the whole is measured again.
            towers: names what made the vectors.
            gpus: as in ``ItemIndex.build``.
            promise: what the whole has to keep, as ``ItemIndex.build`` takes it.

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
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FACTS).unlink(missing_ok=True)
        wanted = Promise(**promise)
        shares = {**promise, "at_k": share(wanted.at_k, count)}
        if wanted.budget_bytes is not None:
            shares["budget_bytes"] = wanted.budget_bytes // count
        shares["exact_below_ms"] = wanted.exact_below_ms / count
        drawn = np.random.default_rng([wanted.seed, 9]).permutation(len(ids))
        for number, part in enumerate(np.array_split(drawn, count)):
            rows = np.sort(part)  # files are read in their order
            shard = ItemIndex.build(ids[rows], vectors[rows], queries, towers=towers, gpus=gpus, **shares)
            shard.save(folder / shard_name(number))
            if number == 0:
                shares["families"] = (shard.facts["promise"]["family"],)
            del shard  # before the next one is built
        shards = [ItemIndex.load(folder / shard_name(number), 0, mapped=True) for number in range(count)]
        facts = {"format": FORMAT, "towers": towers, "items": len(ids), "shards": count, "promise": asdict(wanted)}
        whole = _kept(shards, facts, wanted, checked_queries(queries, shards[0].dim))
        facts = whole.facts
        facts["fresh"] = None if fresh is None else asdict(whole.recall(fresh, wanted.at_k, wanted.seed))
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
        names = [shard_name(number) for number in range(facts["shards"])]
        return cls([ItemIndex.load(folder / name, 0, towers, mapped=mapped) for name in names], facts)

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.shards[0].dim

    @cached_property
    def catalogue(self) -> Catalogue:
        """Ids and vectors of all shards, copied into memory."""
        parts = [shard.catalogue for shard in self.shards]
        return Catalogue(np.concatenate([part.ids for part in parts]), np.concatenate([part.vectors for part in parts]))

    def search(
        self, vectors: NDArray[np.floating], k: int, allowed: Allowed | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the ``k`` best items of each request and their inner products; all as ``ItemIndex.search``."""
        if k < 1:
            raise InputError(f"k must be at least 1, got {k}")
        asked = share(k, len(self.shards))
        lists = list(self._pool.map(lambda shard: shard.search(vectors, asked, allowed), self.shards))
        items, scores = _merged(k, lists)
        if asked == k:
            return items, scores
        # A shard whose every answer stands in the merged list may have more that belongs there.
        exhausted = [(mine[1][:, -1] >= scores[:, -1]) & (mine[0][:, -1] != NO_ITEM) for mine in lists]
        rows = np.flatnonzero(np.any(exhausted, axis=0))
        if len(rows):
            part = None if allowed is None else allowed.of(rows)
            longer = self._pool.map(lambda shard: shard.search(vectors[rows], k, part), self.shards)
            items[rows], scores[rows] = _merged(k, list(longer))
        return items, scores

    def recall(self, queries: NDArray[np.floating], k: int, seed: int = 0) -> Recall:
        """Return the recall of lists of ``k`` out of all items, beside exact search over every shard."""
        queries = checked_queries(queries, self.dim)
        k = min(k, len(self))
        return lower_bound(recalls_of(self.search(queries, k)[1], _true_last(self.shards, queries, k), k), seed)


def share(k: int, shards: int) -> int:
    """Return how many of a list's ``k`` items one of ``shards`` is asked for: a binomial draw's mean, and a margin."""
    mean = k / shards
    return min(k, int(np.ceil(mean + _SPREAD * np.sqrt(mean * (1 - 1 / shards)))))


def shards_said(index: ShardedIndex) -> str:
    """Return in a line what the index is made of and keeps."""
    built = [shard.facts["promise"]["structure"] for shard in index.shards]
    facts, at_k = index.facts, index.facts["promise"]["at_k"]
    fresh = facts["fresh"]
    again = f", {fresh['mean']:.4f} (at least {fresh['low']:.4f}) on fresh ones" if fresh else ""
    recall = facts["validation"]
    return (
        f"{len(built)} shards ({', '.join(sorted(set(built)))}): recall@{at_k} {recall['mean']:.4f} (at least "
        f"{recall['low']:.4f}) on {recall['queries']:,} queries{again}, for a promise of "
        f"{facts['promise']['target_recall']:g}"
    )


def _kept(
    shards: Sequence[ItemIndex], facts: dict[str, Any], promise: Promise, queries: NDArray[np.float32]
) -> ShardedIndex:
    """Return the whole with the least steps further that keep the promise."""
    k = min(promise.at_k, sum(map(len, shards)))
    last = _true_last(shards, queries, k)
    most = max(len(_steps(shard)) for shard in shards)
    for steps in range(most):
        whole = ShardedIndex(shards, {**facts, "further": steps})
        recall = lower_bound(recalls_of(whole.search(queries, k)[1], last, k), promise.seed)
        whole.facts["validation"] = asdict(recall)
        if recall.low >= promise.target_recall or all(shard.exact for shard in shards):
            return whole
    raise InputError(
        f"no effort keeps the promise of recall@{k} {promise.target_recall:g} over {len(shards)} shards: at most it is "
        f"{recall.mean:.4f} (at least {recall.low:.4f}); lower the promise, or take other families"
    )


def _steps(shard: ItemIndex) -> list[Effort]:
    """Return the efforts that a shard may make, from the one it was built to on."""
    if shard.exact:
        return [Effort(0, 1.0)]
    told = shard.facts["promise"]
    return list(ever_further(Effort(told["reach"], told["factor"]), shard.host, told["at_k"], told["family"]))


def _further(shard: ItemIndex, steps: int) -> ItemIndex:
    """Return a shard that looks ``steps`` further than it was built to."""
    if shard.exact or not steps:
        return shard
    efforts = _steps(shard)
    effort = efforts[min(steps, len(efforts) - 1)]
    facts = {**shard.facts, "promise": {**shard.facts["promise"], **asdict(effort)}}
    return ItemIndex(shard.catalogue, shard.host, facts, 0)


def _merged(
    k: int, lists: Sequence[tuple[NDArray[np.int32], NDArray[np.float32]]]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the best ``k`` of several lists, padded where there are fewer."""
    items, scores = (np.concatenate(part, axis=1) for part in zip(*lists, strict=True))
    items, scores = best_first(k, items, scores, items, scores)
    return padded((items, scores), k)


def _true_last(shards: Sequence[ItemIndex], queries: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """Return what the k-th best of all items scores, ``[queries]``, less float32 rounding."""
    best = np.concatenate([best_scores(shard.catalogue, queries, k) for shard in shards], axis=1)
    off = np.max([shard.catalogue.rounding(queries) for shard in shards], axis=0)
    last: NDArray[np.float32] = (-np.sort(-best, axis=1)[:, k - 1] - 2.0 * off).astype(np.float32)
    return last


def shard_name(number: int) -> str:
    """Return the name of a shard's folder."""
    return f"shard-{number:04d}"
