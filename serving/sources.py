"""The candidate sources of a bundle: the pipeline's own, over the bundle's statistics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from commerce.edges import Edges
from retrieval.index import ItemIndex
from retrieval.sources import AssociationSource, PopularitySource, RepeatSource, Source, VectorSource, action_weights
from serving.manifest import BundleError

SERVED = ("vectors", "associations", "repeats", "popularity")
"""Sources that need nothing beyond the runtime; ``lexical`` needs more."""


def open_sources(folder: Path, settings: Mapping[str, Any]) -> dict[str, Source]:
    """Build the sources that a bundle names.

    Args:
        folder: of the bundle.
        settings: of its manifest.
    """
    return {name: _open(name, folder, settings) for name in settings["sources"]}


def _open(name: str, folder: Path, settings: Mapping[str, Any]) -> Source:
    statistics = folder / "statistics"
    if name == "vectors":
        return VectorSource(ItemIndex.load(folder / "index"))
    if name == "associations":
        return AssociationSource(Edges.load(statistics / "associations.npz"), settings["associations_halflife"])
    if name == "repeats":
        weights = action_weights(settings["repeats_targets"], settings["repeats_others"])
        return RepeatSource(weights, settings["repeats_halflife_days"])
    if name == "popularity":
        return PopularitySource(np.load(statistics / "popularity.npy", allow_pickle=False))
    raise BundleError(f"{folder} names the source {name!r}, but this version serves {', '.join(SERVED)}")
