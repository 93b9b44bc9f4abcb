"""The shop's rules of section ``after``, from its ids and names to codes, and which pins a request may be shown."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.features import category_name
from commerce.records import Requests
from commerce.texts import leaf_category
from configs.errors import InputError
from configs.schema import AfterConfig, Config
from pipeline.asking import Shop, blocks
from pipeline.run_folder import RunFolder
from ranking.after import Arranged, Rules, arrange

BEFORE = "_before"
"""Ends the names of the files of ``rank`` with the lists before the rules."""
SCORED = "_scored"
"""Ends the names of those in the order of the scores, where ``rank.value`` asks for another."""
_SHOWN = 5
"""Names that a message lists."""


def asks_rules(after: AfterConfig) -> bool:
    """Whether a shop asks anything of ranked lists."""
    asked = (after.diversity, after.per_category, after.pinned, after.boosted, after.suppressed, after.floors)
    return any(map(bool, asked))


def read_rules(run: RunFolder, config: Config) -> Rules:
    """Return the rules in codes of the run's items.

    Raises:
        InputError: for an item or a group that the shop does not have.
    """
    after = config.after
    items: dict[str, list[Any]] = pq.read_table(
        run.stage("ingest") / "items.parquet", columns=_columns(config)
    ).to_pydict()
    ids = {str(name): code for code, name in enumerate(items["item_id"])}
    leaves = [leaf_category(path) for path in items.get(config.data.item_category, [])]
    groups = [category_name(value) for value in items.get(config.evaluate.item_group, [])]
    category, category_names = _named(leaves, len(ids))
    group, group_names = _named(groups, len(ids))
    floors = np.zeros(len(group_names))
    for name, share in after.floors.items():
        floors[_find("after.floors", name, group_names.tolist())] = share
    return Rules(
        top=after.top,
        diversity=after.diversity,
        per_category=after.per_category,
        category=category,
        pinned=_items("after.pinned", after.pinned, ids),
        places=np.array(list(after.pinned.values()), dtype=np.int32) - 1,
        boosted=_items("after.boosted", after.boosted, ids),
        boosts=np.array(list(after.boosted.values()), dtype=np.float32),
        suppressed=_items("after.suppressed", after.suppressed, ids),
        floors=floors,
        group=group,
        category_names=category_names,
        group_names=group_names,
    )


def arrange_lists(
    lists: tuple[NDArray[np.int32], NDArray[np.float32]],
    rules: Rules,
    requests: Requests,
    shop: Shop,
    vectors: NDArray[np.float32],
    variants: NDArray[np.int32] | None,
    *,
    filter_seen: bool,
) -> Arranged:
    """Put the lists of some requests under the rules.

    Args:
        lists: items and scores, ``[requests, length]`` each.
        rules: the shop's.
        requests: whose lists.
        shop: where histories and availability are.
        vectors: ``[items, dim]``, the item tower's.
        variants: ``[items]``, groups of which one item may stand in a list; None: all may.
        filter_seen: whether items that a user had may not be pinned.
    """
    pinnable = np.zeros((len(requests), len(rules.pinned)), dtype=bool)
    if len(rules.pinned):
        for rows, _, allowed in blocks(shop, requests, None, filter_seen=filter_seen, size=256):
            pinnable[rows] = allowed.mask(np.broadcast_to(rules.pinned, pinnable[rows].shape))
    return arrange(*lists, rules, vectors, pinnable, variants)


def _columns(config: Config) -> list[str]:
    named = (config.data.item_category, config.evaluate.item_group)
    return list(dict.fromkeys(["item_id", *(name for name in named if name)]))


def _named(names: Sequence[str], items: int) -> tuple[NDArray[np.int32], NDArray[np.str_]]:
    """Return each item's code and the names by code; -1 where there is no name."""
    known = sorted({name for name in names if name})
    codes = {name: code for code, name in enumerate(known)}
    of_items = np.array([codes.get(name, -1) for name in names], dtype=np.int32)
    return (of_items if len(names) else np.full(items, -1, dtype=np.int32)), np.array(known, dtype=np.str_)


def _items(setting: str, wanted: Sequence[str] | dict[str, Any], ids: dict[str, int]) -> NDArray[np.int32]:
    return np.array([ids[_known(setting, str(item), ids)] for item in wanted], dtype=np.int32)


def _find(setting: str, name: str, known: list[str]) -> int:
    return known.index(_known(setting, name, known))


def _known(setting: str, name: str, known: Collection[str]) -> str:
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(islice(known, _SHOWN))} ..."
    raise InputError(f"{setting} names {name!r}, which the shop does not have; {hint}")
