"""What measures of lists ask about items, read from the run folder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.comparison import ItemFacts
from commerce.features import category_name
from commerce.texts import leaf_category
from configs.schema import Config
from pipeline.catalogue import name_codes
from pipeline.run_folder import RunFolder


def read_item_facts(run: RunFolder, config: Config, events: NDArray[np.int64]) -> ItemFacts:
    """Return categories, vectors and groups of the items.

    Args:
        run: with ``ingest`` and ``embed`` finished.
        config: which columns hold the category and the group.
        events: ``[items]``, events of each item before the window.
    """
    category, group = config.data.item_category, config.evaluate.item_group
    leaves = name_codes([leaf_category(path) for path in _column(run, category)])
    groups = name_codes([category_name(value) for value in _column(run, group)])
    return ItemFacts(
        events,
        leaves if category else None,
        np.load(run.stage("embed") / "item_vectors.npy", mmap_mode="r"),
        groups if group else None,
    )


def _column(run: RunFolder, name: str) -> list[Any]:
    """Return a column of the items by code; that it is there, ``ingest`` has seen to."""
    if not name:
        return []
    values: list[Any] = pq.read_table(run.stage("ingest") / "items.parquet", columns=[name])[name].to_pylist()
    return values
