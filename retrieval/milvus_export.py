"""The items of an index, written into Milvus: same ids, vectors, filter fields, and a promise kept by measurement."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymilvus import DataType, MilvusClient

from configs.errors import InputError
from retrieval.catalogue import Catalogue
from retrieval.index import ItemIndex, checked_queries
from retrieval.milvus import ITEM, SINCE, UNTIL, VECTOR, Collection, MilvusIndex, connect
from retrieval.promise import Promise
from retrieval.recall import BOUND, LEAST_QUERIES, Recall, measure
from retrieval.sharded import ShardedIndex

KINDS = ("HNSW", "IVF_FLAT", "FLAT")
_ROWS = 1000
_LONGEST = 65_535
"""Bytes of a string in Milvus."""
_LINKS, _GRAPH_REACH = 32, 80


def export_to_milvus(
    index: ItemIndex | ShardedIndex,
    uri: str,
    name: str,
    available_from: NDArray[np.int64],
    available_until: NDArray[np.int64],
    *,
    fields: Mapping[str, Sequence[Any]] | None = None,
    queries: NDArray[np.floating] | None = None,
    fresh: NDArray[np.floating] | None = None,
    target_recall: float = 0.95,
    at_k: int = 100,
    kind: str = "HNSW",
    token: str = "",
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> MilvusIndex:
    """Write a collection, find how far it has to look, and let it take the place of the one before.

    Rows go into a collection of their own, ``name_v1`` and so on; the alias ``name`` is set on it once it is whole and
    keeps the promise, so an export that is cut off changes nothing for anybody. The version before stays for whoever
    still searches it, older ones go.

    Args:
        index: whose living items are written.
        uri: of Milvus.
        name: of the alias: letters, digits and underscores.
        available_from: ``[items]`` microseconds, by item code.
        available_until: ``[items]``, exclusive.
        fields: values of declared fields by item code: numbers, strings, truth values, or None where unknown.
        queries: ``[queries, dim]`` of users like those to come, on which the promise is kept.
        fresh: others, on which recall is measured again.
        target_recall: of the lower bound of mean recall; 1 is exact search.
        at_k: length of the lists that it holds for, when nothing is filtered out.
        kind: of index, of ``KINDS``; ``FLAT`` is exact.
        token: as Milvus takes it.
        seed: of the bootstrap.
        say: is told how it goes.

    Raises:
        InputError: for a name, kind or field that Milvus cannot have, too few queries, or a promise that is not kept.
    """
    promise = Promise(target_recall=target_recall, at_k=at_k, seed=seed)
    kind = "FLAT" if target_recall >= 1.0 else kind
    typed = _checked(name, kind, index, fields or {}, queries)
    client = connect(uri, token)
    versions = _versions(client, name)
    collection = f"{name}_v{max(versions, default=0) + 1}"
    known = Collection(
        uri=uri,
        collection=collection,
        towers=str(index.facts["towers"]),
        dim=index.dim,
        items=len(index),
        kind=kind,
        reach={},
        opened=int(available_from[_codes(index.catalogue)].max()),
        closed=int(available_until[_codes(index.catalogue)].min()),
        fields=tuple(typed),
        promise={},
    )
    try:
        _fill(client, known, index.catalogue, available_from, available_until, fields or {}, typed)
        say(f"{len(index):,} items in {collection}")
        found = _promised(MilvusIndex(client, known), index.catalogue, promise, queries, fresh)
    except BaseException:
        client.drop_collection(collection)
        raise
    former = _in_force(client, name)
    if former is None:
        client.create_alias(collection, name)
    else:
        client.alter_alias(collection, name)
    for version in versions:
        if f"{name}_v{version}" != former:
            client.drop_collection(f"{name}_v{version}")
    return found


def _checked(
    name: str,
    kind: str,
    index: ItemIndex | ShardedIndex,
    fields: Mapping[str, Sequence[Any]],
    queries: NDArray[np.floating] | None,
) -> dict[str, DataType]:
    """Return Milvus's type of each field; refuse what cannot be written before anything is."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise InputError(f"Milvus takes letters, digits and underscores for a name, got {name!r}")
    if kind not in KINDS:
        raise InputError(f"no kind of index is called {kind!r} here; there are {', '.join(KINDS)}")
    if kind != "FLAT" and (queries is None or len(queries) < LEAST_QUERIES):
        came = 0 if queries is None else len(queries)
        raise InputError(
            f"a recall can only be promised by {LEAST_QUERIES} queries or more, got {came}; give user vectors of the "
            "validation window, or kind='FLAT' for exact search"
        )
    typed = {}
    least = int(_codes(index.catalogue).max()) + 1
    for field, values in fields.items():
        if field in (ITEM, VECTOR, SINCE, UNTIL) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", field):
            raise InputError(f"{field!r} cannot be the name of a field in Milvus; it is taken, or no plain word")
        if len(values) < least:
            raise InputError(f"field {field} has {len(values):,} values for item codes up to {least - 1:,}")
        typed[field] = _type_of(field, values)
    return typed


def _type_of(field: str, values: Sequence[Any]) -> DataType:
    kinds = {type(value) for value in values if value is not None}
    for wanted, given in (
        (DataType.BOOL, {bool}),
        (DataType.INT64, {int}),
        (DataType.DOUBLE, {int, float}),
        (DataType.VARCHAR, {str}),
    ):
        if kinds <= given and kinds:
            return wanted
    if not kinds:
        raise InputError(f"field {field} is unknown of every item; leave it out")
    raise InputError(f"field {field} mixes {', '.join(sorted(kind.__name__ for kind in kinds))}; Milvus takes one type")


def _fill(
    client: MilvusClient,
    known: Collection,
    catalogue: Catalogue,
    since: NDArray[np.int64],
    until: NDArray[np.int64],
    fields: Mapping[str, Sequence[Any]],
    typed: Mapping[str, DataType],
) -> None:
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(ITEM, DataType.INT64, is_primary=True)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=known.dim)
    schema.add_field(SINCE, DataType.INT64)
    schema.add_field(UNTIL, DataType.INT64)
    for field, kind in typed.items():
        length = {"max_length": _LONGEST} if kind == DataType.VARCHAR else {}
        schema.add_field(field, kind, nullable=True, **length)
    wanted = client.prepare_index_params()
    wanted.add_index(VECTOR, index_type=known.kind, metric_type="IP", params=_built_with(known))
    client.create_collection(known.collection, schema=schema, index_params=wanted, consistency_level="Strong")
    # Released until all is written: Milvus Lite indexes a loaded collection's flushed rows in a thread of its own, and
    # loading beside it read a file that was half written.
    client.release_collection(known.collection)
    rows = np.flatnonzero(catalogue.alive)
    for start in range(0, len(rows), _ROWS):
        block = []
        for row in rows[start : start + _ROWS]:
            item = int(catalogue.ids[row])
            told = {field: values[item] for field, values in fields.items()}
            times = {SINCE: int(since[item]), UNTIL: int(until[item])}
            block.append({ITEM: item, VECTOR: catalogue.vectors[row].tolist(), **times, **told})
        client.insert(known.collection, block)
    # Until its index is built Milvus looks at everything, whatever the parameters say, and recall would be measured on
    # that. An index is built of what is flushed, and loading waits for it.
    client.flush(known.collection)
    client.load_collection(known.collection)


def _promised(
    index: MilvusIndex,
    catalogue: Catalogue,
    promise: Promise,
    queries: NDArray[np.floating] | None,
    fresh: NDArray[np.floating] | None,
) -> MilvusIndex:
    """Return the index with the least reach, doubled from the first, that surely keeps the promise."""
    if index.known.kind == "FLAT":
        return index
    assert queries is not None
    asked = checked_queries(queries, index.dim)
    tried: list[tuple[dict[str, int], Recall]] = []
    for reach in _reaches(index.known, promise.at_k):
        candidate = index.reaching(reach)
        recall = measure(candidate, catalogue, asked, promise.at_k, promise.seed)
        tried.append((reach, recall))
        if recall.low >= promise.target_recall:
            break
    reach, recall = tried[-1]
    if recall.low < promise.target_recall:
        raise InputError(
            f"a {index.known.kind} index in Milvus reaches recall@{promise.at_k} {recall.mean:.4f} (surely "
            f"{recall.low:.4f}) with {reach}, and {promise.target_recall:g} was promised; try another kind, "
            f"{', '.join(KINDS)}, or a lower recall"
        )
    candidate = index.reaching(reach)
    again = None
    if fresh is not None and len(fresh) >= LEAST_QUERIES:
        again = asdict(measure(candidate, catalogue, checked_queries(fresh, index.dim), promise.at_k, promise.seed))
    told = {
        "target_recall": promise.target_recall,
        "at_k": promise.at_k,
        "bound": BOUND,
        "validation": asdict(recall),
        "fresh": again,
        "tried": [{**reach, "recall": one.mean, "low": one.low} for reach, one in tried],
    }
    return MilvusIndex(candidate.client, replace(candidate.known, promise=told))


def _built_with(known: Collection) -> dict[str, int]:
    if known.kind == "HNSW":
        return {"M": _LINKS, "efConstruction": _GRAPH_REACH}
    return {"nlist": _cells(known)} if known.kind == "IVF_FLAT" else {}


def _reaches(known: Collection, at_k: int) -> list[dict[str, int]]:
    """Return the search parameters to try, each twice the one before."""
    name, first, last = ("ef", at_k, 64 * at_k) if known.kind == "HNSW" else ("nprobe", 1, _cells(known))
    steps = [first]
    while steps[-1] < last:
        steps.append(min(2 * steps[-1], last))
    return [{name: step} for step in steps]


def _cells(known: Collection) -> int:
    return int(np.clip(4 * np.sqrt(known.items), 1, max(1, known.items // 40)))


def _codes(catalogue: Catalogue) -> NDArray[np.int32]:
    codes: NDArray[np.int32] = catalogue.ids[catalogue.alive]
    return codes


def _versions(client: MilvusClient, name: str) -> list[int]:
    named = (re.fullmatch(rf"{name}_v(\d+)", one) for one in client.list_collections())
    return sorted(int(match[1]) for match in named if match)


def _in_force(client: MilvusClient, name: str) -> str | None:
    """Return the collection that the alias is set on."""
    for version in _versions(client, name):
        collection = f"{name}_v{version}"
        if name in client.list_aliases(collection).get("aliases", []):
            return collection
    return None
