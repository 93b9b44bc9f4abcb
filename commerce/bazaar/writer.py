"""The bazaar as files: events, items, users, relations, and the sessions' hidden truth, as Parquet in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.bazaar.catalogue import (
    ALWAYS,
    START,
    Catalogue,
    build_catalogue,
    category_of,
    seller_group_of,
    title_of,
)
from commerce.bazaar.fraud import fraud_accounts, fraud_log
from commerce.bazaar.log import CAUSES, Written
from commerce.bazaar.queries import text_of
from commerce.bazaar.relations import declared_relations
from commerce.bazaar.sessions import simulate
from commerce.bazaar.shoppers import draw_profiles, draw_shoppers
from commerce.bazaar.streams import Streams
from commerce.bazaar.words import AGE_BANDS, BRANDS, ENGLISH, GENDERS, LEAVES, REGIONS
from commerce.columns import ACTIONS, INTENTS
from configs.schema import BazaarConfig

_CELLS = 4_000_000
"""Shoppers in a block times what a turn of theirs looks at stays below this, which bounds the memory."""
_TIME = pa.timestamp("us", tz="UTC")

EVENTS = pa.schema(
    [
        ("user_id", pa.string()),
        ("timestamp", _TIME),
        ("action", pa.string()),
        ("item_id", pa.string()),
        ("query", pa.string()),
        ("session_id", pa.string()),
        ("request_id", pa.string()),  # list that the event belongs to; null for favourites, carts and purchases
        ("position", pa.int32()),  # place in that list, from 0
        ("price", pa.float64()),
        ("quantity", pa.float64()),
        ("cause", pa.string()),  # of purchases; see commerce.bazaar.log.CAUSES
    ]
)
SESSIONS = pa.schema(
    [
        ("session_id", pa.string()),
        ("user_id", pa.string()),
        ("timestamp", _TIME),
        ("intent", pa.string()),
        ("topic", pa.string()),  # leaf category
        ("reason", pa.string()),  # why this topic: taste, complement, comparison or repeat
        ("informed", pa.bool_()),  # the session opens with a search that says what is wanted
    ]
)


@dataclass(frozen=True)
class Bazaar:
    """What the written folder holds."""

    events: Path
    items: Path
    users: Path
    relations: Path
    sessions: Path
    """The hidden truth of each session, for tests and study; no model reads it."""
    rows: dict[str, int]
    """Rows of each table by name."""


def write_bazaar(config: BazaarConfig, folder: Path) -> Bazaar:
    """Generate the shop of ``config`` and write its tables into ``folder``, block of shoppers by block.

    The same config gives the same tables, byte for byte, whatever the block size.
    """
    folder.mkdir(parents=True, exist_ok=True)
    streams = Streams(config.seed)
    catalogue = build_catalogue(config, streams)
    paths = {name: folder / f"{name}.parquet" for name in ("events", "items", "users", "relations", "sessions")}
    rows = {"items": len(catalogue), "users": config.users + fraud_accounts(config), "events": 0, "sessions": 0}
    pq.write_table(_items_table(catalogue, config, streams), paths["items"])
    pq.write_table(_users_table(config, streams), paths["users"])
    relations = _relations_table(catalogue)
    rows["relations"] = len(relations)
    pq.write_table(relations, paths["relations"])
    with pq.ParquetWriter(paths["events"], EVENTS) as events, pq.ParquetWriter(paths["sessions"], SESSIONS) as truth:
        for written in generate(catalogue, config, streams):
            if config.shuffle_ids:
                _shuffle(written, streams)
            events.write_table(_events_table(written, catalogue))
            truth.write_table(_sessions_table(written))
            rows["events"] += len(written.events["user"])
            rows["sessions"] += len(written.sessions["user"])
    return Bazaar(**paths, rows=rows)


def generate(catalogue: Catalogue, config: BazaarConfig, streams: Streams) -> Iterator[Written]:
    """Yield the log block by block: shoppers in order of their codes, false accounts last."""
    widest = max(len(catalogue), config.list_length * catalogue.by_leaf.size // len(catalogue.by_leaf))
    block = int(np.clip(_CELLS // widest, 16, 2048))
    for first in range(0, config.users, block):
        user = np.arange(first, min(first + block, config.users))
        yield simulate(draw_shoppers(user, catalogue, config, streams), catalogue, config, streams)
    yield fraud_log(catalogue, config, streams)


def _shuffle(written: Written, streams: Streams) -> None:
    """Deal the items of a block's events out anew."""
    events = written.events
    having = np.flatnonzero(events["item"] >= 0)
    draw = streams.uniform("shuffle", events["user"][having], events["time"][having], events["position"][having])
    events["item"][having] = events["item"][having[np.argsort(draw, kind="stable")]]


def _events_table(written: Written, catalogue: Catalogue) -> pa.Table:
    events = written.events
    item = events["item"]
    queries, place = np.unique(events["query"], return_inverse=True)
    texts = pa.array([text_of(int(number)) if number >= 0 else None for number in queries], pa.string())
    session = _numbered("s", events["user"], 100, events["session"])
    bought = events["action"] == ACTIONS.index("purchase")
    columns = [
        _names("u", events["user"]),
        pa.array(events["time"]).cast(_TIME),
        pa.array(ACTIONS).take(pa.array(events["action"])),
        _names("i", item),
        texts.take(pa.array(place)),
        session,
        _numbered("r", events["user"], 1000, events["session"] * 10 + events["page"], events["page"] >= 0),
        _some(events["position"], events["position"] >= 0),
        _some(catalogue.price[item], item >= 0),
        _some(np.ones(len(item)), bought),
        pa.array(CAUSES).take(_some(events["cause"], events["cause"] >= 0)),
    ]
    return pa.table([column.cast(kind.type) for column, kind in zip(columns, EVENTS, strict=True)], schema=EVENTS)


def _sessions_table(written: Written) -> pa.Table:
    sessions = written.sessions
    columns = [
        _numbered("s", sessions["user"], 100, sessions["session"]),
        _names("u", sessions["user"]),
        pa.array(sessions["time"]).cast(_TIME),
        pa.array(INTENTS).take(pa.array(sessions["intent"])),
        pa.array([leaf[ENGLISH] for leaf in LEAVES]).take(pa.array(sessions["topic"])),
        pa.array(CAUSES).take(pa.array(sessions["reason"])),
        pa.array(sessions["informed"].astype(bool)),
    ]
    return pa.table([column.cast(kind.type) for column, kind in zip(columns, SESSIONS, strict=True)], schema=SESSIONS)


def _items_table(catalogue: Catalogue, config: BazaarConfig, streams: Streams) -> pa.Table:
    items = range(len(catalogue))
    brands = [BRANDS[brand][ENGLISH] for brand in catalogue.brand]
    vectors = [vector.tolist() if bare else None for vector, bare in zip(catalogue.vector, catalogue.bare, strict=True)]
    # With shuffled ids an item may be met outside its time, so its time is not declared.
    arrives = (catalogue.available_from > START) & (not config.shuffle_ids)
    leaves = (catalogue.available_until < ALWAYS) & (not config.shuffle_ids)
    return pa.table(
        {
            "item_id": _names("i", np.arange(len(catalogue))),
            "product_id": _names("p", catalogue.product),
            "title": [title_of(catalogue, item, streams) for item in items],
            "language": ["zh" if chinese else "en" for chinese in catalogue.chinese],
            "brand": [None if bare else brand for brand, bare in zip(brands, catalogue.bare, strict=True)],
            "category": [category_of(catalogue, item) for item in items],
            "price": catalogue.price,
            "rating": np.round(np.clip(4.0 + 0.4 * catalogue.rating, 1.0, 5.0), 1),
            "bid": catalogue.bid,
            "seller_id": _names("m", catalogue.seller),
            "seller_group": [seller_group_of(catalogue, item) for item in items],
            "available_from": _some(catalogue.available_from, arrives).cast(_TIME),
            "available_until": _some(catalogue.available_until, leaves).cast(_TIME),
            "image_vector": pa.array(vectors, pa.list_(pa.float32())),
        }
    )


def _users_table(config: BazaarConfig, streams: Streams) -> pa.Table:
    user = np.arange(config.users + fraud_accounts(config))
    profiles = draw_profiles(user, config, streams)
    return pa.table(
        {
            "user_id": _names("u", user),
            "age_band": pa.array(AGE_BANDS).take(pa.array(profiles.age)),
            "region": pa.array(REGIONS).take(pa.array(profiles.region)),
            "gender": pa.array(GENDERS).take(pa.array(profiles.gender)),
            "household_size": profiles.household,
            "language": ["zh" if chinese else "en" for chinese in profiles.chinese],
        }
    )


def _relations_table(catalogue: Catalogue) -> pa.Table:
    edges = declared_relations(catalogue)
    return pa.table(
        {
            "item_id": _names("i", edges.item),
            "other_id": _names("i", edges.other),
            "relation": edges.relation.tolist(),
            "source": ["shop"] * len(edges.item),
        }
    )


def _names(prefix: str, codes: NDArray[np.int64]) -> pa.Array:
    """Return ``prefix`` + code as outside ids, null where the code is negative."""
    distinct, place = np.unique(codes, return_inverse=True)
    names = pa.array([f"{prefix}{code:06d}" if code >= 0 else None for code in distinct], pa.string())
    return names.take(pa.array(place))


def _numbered(
    prefix: str, user: NDArray[np.int64], base: int, number: NDArray[np.int64], keep: NDArray[np.bool_] | None = None
) -> pa.Array:
    """Return ``prefix`` + one number made of user and ``number`` (below ``base``), null outside ``keep``."""
    where = np.ones(len(user), dtype=bool) if keep is None else keep
    digits = pc.cast(_some(user * base + number, where), pa.string())
    return pc.binary_join_element_wise(prefix, digits, "")


def _some(values: NDArray[np.generic], keep: NDArray[np.bool_]) -> pa.Array:
    return pa.array(values, mask=~keep)
