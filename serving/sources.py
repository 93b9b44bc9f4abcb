"""The candidate sources of a bundle: the pipeline's own, over the bundle's statistics."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from retrieval import opening
from retrieval.index_folder import open_index
from retrieval.sources import Source, VectorIndex
from serving.manifest import BundleError

SERVED = ("vectors", "associations", "tastes", "repeats", "popularity", "newest", "lexical")
_OF_LEXICAL = ("bm25s", "jieba")
"""Packages of the source ``lexical``; all others need nothing beyond the runtime."""


def open_sources(folder: Path, settings: Mapping[str, Any], vectors: VectorIndex | None = None) -> dict[str, Source]:
    """Build the sources that a bundle names.

    Args:
        folder: of the bundle.
        settings: of its manifest.
        vectors: what finds items by vector in the place of the bundle's index: a ``MilvusIndex``, say.

    Raises:
        BundleError: for a source that this version, or this machine, cannot serve.
    """
    unserved = [name for name in settings["sources"] if name not in SERVED]
    if unserved:
        raise BundleError(f"{folder} names the source {unserved[0]!r}, but this version serves {', '.join(SERVED)}")
    missing = [name for name in _OF_LEXICAL if "lexical" in settings["sources"] and find_spec(name) is None]
    if missing:
        raise BundleError(
            f"{folder} finds items by search terms (source 'lexical'), which needs {' and '.join(missing)}; "
            "pip install 'mercato[lexical]'"
        )
    return opening.open_sources(
        settings["sources"],
        folder / "statistics",
        associations_halflife=settings["associations_halflife"],
        repeats_targets=settings["repeats_targets"],
        repeats_others=settings["repeats_others"],
        repeats_halflife_days=settings["repeats_halflife_days"],
        popularity_column=settings.get("popularity_column"),
        popularity_prior=settings.get("popularity_prior", 1.0),
        index=lambda: vectors or open_index(folder / "index"),
    )
