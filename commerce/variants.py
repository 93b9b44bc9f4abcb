"""Groups of items that are variants of one another, from the pairs that the shop declares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

RELATION = "variant"
"""The declared relation whose items are one product."""


def variant_groups(item: NDArray[np.integer], other: NDArray[np.integer], items: int) -> NDArray[np.int32]:
    """Return each item's group, int32 ``[items]``: the lowest item code in it; an item without variants is its own.

    A variant of a variant is a variant: groups are the connected components of the declared pairs.

    Args:
        item: ``[pairs]``, item codes.
        other: ``[pairs]``: a variant of ``item``; either direction will do.
        items: size of the catalogue.
    """
    pairs = sparse.coo_array((np.ones(len(item), dtype=bool), (item, other)), shape=(items, items))
    _, component = connected_components(pairs, directed=False)
    _, first, place = np.unique(component, return_index=True, return_inverse=True)
    return first[place].astype(np.int32)


def read_variants(relations: Path, items: int) -> NDArray[np.int32]:
    """Return ``variant_groups`` of ``relations.parquet`` as ``ingest`` writes it; it may declare nothing."""
    declared = pq.read_table(relations, columns=["item", "other"], filters=[("relation", "==", RELATION)])
    return variant_groups(declared["item"].to_numpy(), declared["other"].to_numpy(), items)
