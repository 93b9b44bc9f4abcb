"""What measures of lists ask about items, read from the run folder."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.comparison import ItemFacts
from commerce.texts import leaf_category
from configs.errors import InputError
from configs.schema import Config
from pipeline.catalogue import leaf_codes
from pipeline.run_folder import RunFolder


def read_item_facts(run: RunFolder, config: Config, events: NDArray[np.int64]) -> ItemFacts:
    """Return categories, vectors and groups of the items.

    Args:
        run: with ``ingest`` and ``embed`` finished.
        config: which columns hold the category and the group.
        events: ``[items]``, events of each item before the window.

    Raises:
        InputError: if the items table has no such column.
    """
    category, group = config.data.item_category, config.evaluate.item_group
    leaves = leaf_codes([leaf_category(path) for path in _column(run, "data.item_category", category)])
    # Sorted, so that codes do not hang on the order of rows; a missing value is of no group.
    named = [str(value or "") for value in _column(run, "evaluate.item_group", group)]
    known, groups = np.unique(named, return_inverse=True)
    groups = groups - int(len(known) > 0 and known[0] == "")
    return ItemFacts(
        events,
        leaves if category else None,
        np.load(run.stage("embed") / "item_vectors.npy", mmap_mode="r"),
        groups.astype(np.int32) if group else None,
    )


def _column(run: RunFolder, setting: str, name: str) -> list[Any]:
    if not name:
        return []
    path = run.stage("ingest") / "items.parquet"
    names = pq.read_schema(path).names
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(names)}"
        raise InputError(f"{setting}={name}, but the items table has no such column; {hint}")
    values: list[Any] = pq.read_table(path, columns=[name])[name].to_pylist()
    return values
