"""Leaf categories of a bundle's items: a code per item, and the names by code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LEAF, NAMES = "leaf.npy", "leaves.json"
"""int32 ``[items]``, -1 without a category; and the names, a JSON list."""


def grow_leaves(folder: Path, added: Sequence[str]) -> None:
    """Add the leaf categories of new items, empty without one; a category that is new gets the next code.

    A bundle from before its intent head was told of categories has no such files, and gets none.
    """
    if not (folder / LEAF).is_file():
        return
    leaf: NDArray[np.int32] = np.load(folder / LEAF, allow_pickle=False)
    names: list[str] = json.loads((folder / NAMES).read_text(encoding="utf-8"))
    codes = {name: code for code, name in enumerate(names)}
    new = [codes.setdefault(name, len(codes)) if name else -1 for name in added]
    np.save(folder / LEAF, np.concatenate([leaf, np.array(new, dtype=np.int32)]))
    (folder / NAMES).write_text(json.dumps(list(codes), ensure_ascii=False), encoding="utf-8")
