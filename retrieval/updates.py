"""A living catalogue: items come, change and go without the index being built again.

An update gives a new index and leaves the old one as it is, so that whoever searches it goes on undisturbed. In an
approximate index the row of an item that is replaced or removed stays as a tombstone, which no search answers with;
past a share of them all rows are put in anew (compacted), in the cells that were learned once. An exact index is
compacted every time, which costs no more than its copy.

The promise goes along: recall is measured on the new state, and where its bound no longer keeps the promise, search
looks further until it does. What no reach keeps is refused. Timings and the front in ``index.json`` stay those of the
build. Cells learned on a catalogue long gone only make search slower, never worse than promised; ``drift`` tells when
to build again.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM
from configs.errors import InputError
from retrieval.approximate import ApproximateSearch
from retrieval.catalogue import Catalogue, checked_items
from retrieval.families import Effort, ever_further
from retrieval.index import ItemIndex, checked_queries
from retrieval.recall import LEAST_QUERIES, measure
from retrieval.storage import vectors_of

faiss: Any = typed_faiss
"""FAISS's own type stubs lack much of what it has."""

COMPACT_SHARE = 0.2
"""Of rows that are tombstones, beyond which an update compacts."""


def upsert(
    index: ItemIndex,
    ids: NDArray[np.integer],
    vectors: NDArray[np.floating],
    queries: NDArray[np.floating] | None = None,
    *,
    compact_share: float = COMPACT_SHARE,
    towers: str | None = None,
    gpus: int | None = None,
) -> ItemIndex:
    """Return the index with some items new, or in the place of those of the same id.

    Args:
        index: stays as it is.
        ids: ``[changed]``, distinct, not negative.
        vectors: ``[changed, dim]``, of the towers that made the others.
        queries: ``[queries, dim]`` of users like those to come, by which recall is measured; an exact index needs none.
        compact_share: of rows that are tombstones, beyond which all are put in anew.
        towers: that made ``vectors``; checked against the index's where given.
        gpus: to search on, as in ``ItemIndex.build``.

    Raises:
        InputError: for items that cannot be indexed (``catalogue.checked_items``), of another width or of other towers;
            for an approximate index without enough queries; where the promise cannot be kept.
    """
    if towers is not None and towers != index.facts["towers"]:
        raise InputError(
            f"the vectors are of towers {towers[:12]}, but the index holds those of "
            f"{index.facts['towers'][:12] or 'unnamed ones'}; build it anew with `mercato index CONFIG`"
        )
    changed = checked_items(ids, vectors)
    if changed.dim != index.dim:
        raise InputError(
            f"the new vectors are {changed.dim} wide, but the index holds {index.dim}-wide ones; encode the items with "
            "the towers that it was built from"
        )
    return _updated(index, changed, changed.ids, queries, compact_share, gpus)


def remove(
    index: ItemIndex,
    ids: NDArray[np.integer],
    queries: NDArray[np.floating] | None = None,
    *,
    compact_share: float = COMPACT_SHARE,
    gpus: int | None = None,
) -> ItemIndex:
    """Return the index without some items; arguments as of ``upsert``.

    Raises:
        InputError: for ids that the index does not hold, or all that it holds; and as ``upsert``.
    """
    gone = np.unique(np.asarray(ids))
    unknown = np.setdiff1d(gone, index.catalogue.ids[index.catalogue.alive])
    if len(unknown):
        raise InputError(
            f"{len(unknown):,} of {len(gone):,} ids to remove are not in the index (first: {unknown[:3].tolist()}); "
            "nothing was removed"
        )
    if len(gone) == len(index):
        raise InputError(f"all {len(gone):,} items would be removed, and an empty index answers nothing; keep one")
    nothing = Catalogue(np.empty(0, np.int32), np.empty((0, index.dim), np.float32))
    return _updated(index, nothing, gone.astype(np.int32), queries, compact_share, gpus)


def drift(index: ItemIndex) -> float:
    """Return what share of the items came since the index was built; past a half, building again makes it faster."""
    came: int = index.facts.get("updates", {}).get("upserted", 0)
    return min(1.0, came / len(index))


def _updated(
    index: ItemIndex,
    changed: Catalogue,
    gone: NDArray[np.int32],
    queries: NDArray[np.floating] | None,
    compact_share: float,
    gpus: int | None,
) -> ItemIndex:
    """Return the index with ``gone`` made tombstones and ``changed`` put behind."""
    if not index.exact:
        queries = _measurable(index, queries)  # before vectors are copied
    before = index.catalogue
    kept = np.where(np.isin(before.ids, gone), NO_ITEM, before.ids)
    rows = Catalogue(np.concatenate([kept, changed.ids]), np.concatenate([before.vectors, changed.vectors]))
    facts = {**index.facts, "version": index.version + 1}
    so_far = {"upserted": 0, "removed": 0, "compactions": 0, **facts.get("updates", {})}
    counts = {"upserted": len(changed), "removed": len(np.setdiff1d(gone, changed.ids)), "compactions": 0}
    if index.exact:
        living = _living(rows)
        flat = faiss.IndexFlatIP(rows.dim)
        flat.add(living.vectors)
        facts["updates"] = {name: so_far[name] + counts[name] for name in counts}
        return ItemIndex(Catalogue(living.ids, vectors_of(flat)), flat, facts, gpus)

    assert queries is not None
    told = index.facts["promise"]
    host = faiss.clone_index(index.host)
    if 1.0 - rows.items / len(rows) > compact_share:
        rows, counts["compactions"] = _living(rows), 1
        host.reset()
        host.add(rows.vectors)
    elif len(changed):
        host.add(changed.vectors)
    facts["updates"] = {name: so_far[name] + counts[name] for name in counts}
    facts["promise"] = {**told, **_kept(rows, host, told, queries), "fresh": None}
    return ItemIndex(rows, host, facts, gpus)


def _measurable(index: ItemIndex, queries: NDArray[np.floating] | None) -> NDArray[np.float32]:
    """Return the queries as FAISS takes them.

    Raises:
        InputError: for too few of them, or an index that cannot be changed.
    """
    if queries is None or len(queries) < LEAST_QUERIES:
        raise InputError(
            f"{0 if queries is None else len(queries)} queries came to measure the recall of the new state by, "
            f"{LEAST_QUERIES} are needed; give vectors of recent requests' users"
        )
    lists = getattr(index.host, "invlists", None)  # a graph has none
    if lists is not None and isinstance(faiss.downcast_InvertedLists(lists), faiss.OnDiskInvertedLists):
        raise InputError("an index whose lists stay on disk cannot be changed; load it without mapped=True and save it")
    return checked_queries(queries, index.dim)


def _living(rows: Catalogue) -> Catalogue:
    """Return a catalogue without its tombstones, in order of id."""
    alive = np.flatnonzero(rows.alive)
    alive = alive[np.argsort(rows.ids[alive])]
    return Catalogue(rows.ids[alive], np.ascontiguousarray(rows.vectors[alive]))


def _kept(rows: Catalogue, host: Any, told: dict[str, Any], queries: NDArray[np.float32]) -> dict[str, Any]:
    """Return the effort that keeps the promise, from the present one on, and the recall that it gives."""
    k = told["at_k"]
    for effort in ever_further(Effort(told["reach"], told["factor"]), host, k, told["family"]):
        search = ApproximateSearch(rows, host, effort, k, told["pushes"])
        recall = measure(search, rows, queries, k, told["seed"])
        if recall.low >= told["target_recall"]:
            return {**asdict(effort), "validation": asdict(recall)}
    raise InputError(
        f"after this update no effort keeps the promise of recall@{k} {told['target_recall']:g}: with reach "
        f"{effort.reach} and {effort.factor:g} fetched for one it is {recall.mean:.4f} (at least {recall.low:.4f}) on "
        f"{recall.queries:,} queries; the former index stays in force, build it anew with `mercato index CONFIG`"
    )
