"""The files of a bundle, each opened when it is first needed; what is large stays on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.edges import Edges
from commerce.features import Vocabulary, encode
from commerce.session_statistics import STATISTICS, SessionFacts
from commerce.state import ItemFacts, known_features, profile_text
from configs.reads import RANKER_READS
from ranking.after import Rules
from ranking.probabilities import Probabilities
from retrieval.blending import Say
from retrieval.sources import Source, VectorIndex
from serving.item_fields import ItemFields
from serving.leaves import LEAF
from serving.manifest import BundleError
from serving.sources import open_sources
from serving.strings import Strings
from serving.users import UserFeatures

ITEM_NUMBERS = "item_numbers.npy"
"""What the reranker is told of items in numbers (``commerce.item_numbers``)."""
SENSITIVE = "sensitive_items.npy"
RULES = "rules.npz"
"""The shop's rules for ranked lists; a bundle without the file has none."""
PROBABILITIES = "probabilities.json"
"""Probabilities of views, carts and purchases; a bundle without the file tells none."""
BIDS = "bids.npy"
"""What a view of each item pays, where lists are ordered by it."""


class Contents:
    """What the runtime looks up: items, searches, statistics, and how a profile is read."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any], vectors: VectorIndex | None = None) -> None:
        """Name a bundle that has been checked.

        Args:
            folder: of the bundle.
            manifest: its own.
            vectors: in the place of the bundle's index.
        """
        self._folder, self._settings, self._vectors = folder, manifest["settings"], vectors
        # Bundles of before say nothing of it, and their rerankers read everything.
        self.reranker_reads = frozenset((manifest["models"]["reranker"] or {}).get("reads", RANKER_READS))
        self.item_ids = Strings.open(folder / "item_ids")
        self.item_vectors: NDArray[np.float32] = np.load(folder / "item_vectors.npy", mmap_mode="r")

    @cached_property
    def sources(self) -> dict[str, Source]:
        """Candidate sources by name, in the order of their ranks in what is found."""
        return open_sources(self._folder, self._settings, self._vectors)

    @cached_property
    def blends(self) -> dict[str, Say]:
        """How much each source says, by ``retrieval.blending.blend_name``."""
        return {name: Say(**blend) for name, blend in self._settings["blend"].items()}

    @cached_property
    def variants(self) -> NDArray[np.int32] | None:
        """Each item's group of variants, ``[items]``, of which one may stand in a list; None where all may."""
        if self._settings["variants"] == "all":
            return None
        groups: NDArray[np.int32] = np.load(self._folder / "variants.npy", allow_pickle=False)
        return groups

    @cached_property
    def rules(self) -> Rules | None:
        """What the shop asks of ranked lists; None where it asks nothing."""
        path = self._folder / RULES
        return Rules.load(path) if path.is_file() else None

    @cached_property
    def probabilities(self) -> Probabilities | None:
        """What tells how likely a view, a cart and a purchase are; None where nothing does."""
        path = self._folder / PROBABILITIES
        if not path.is_file():
            return None
        return Probabilities.from_json(json.loads(path.read_text(encoding="utf-8")))

    @cached_property
    def worth(self) -> NDArray[np.float64]:
        """What a sale, or a view, of each item is worth, ``[items]``, NaN where unknown."""
        name = BIDS if self._settings["value"] == "bid" else "prices.npy"
        worth: NDArray[np.float64] = np.load(self._folder / name, allow_pickle=False).astype(np.float64)
        return worth

    @cached_property
    def availability(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """When each item may be shown, from and until, ``[items]`` microseconds."""
        with np.load(self._folder / "availability.npz", allow_pickle=False) as arrays:
            return arrays["from"], arrays["until"]

    @cached_property
    def item_facts(self) -> ItemFacts:
        """What the reranker's features are counted from."""
        statistics = self._folder / "statistics"
        return ItemFacts(
            price=np.load(self._folder / "prices.npy", allow_pickle=False),
            popularity=np.load(statistics / "popularity.npy", allow_pickle=False),
            vectors=self.item_vectors,
            edges=Edges.load(statistics / "associations.npz")
            if "associations" in self.reranker_reads
            else Edges.none(len(self.item_ids)),
            numbers=self._item_numbers,
        )

    @property
    def _item_numbers(self) -> NDArray[np.float32]:
        """Return the items' numbers, ``[items, numbers]``; none in a bundle whose reranker was told none."""
        path = self._folder / ITEM_NUMBERS
        if not path.is_file():
            return np.zeros((len(self.item_ids), 0), dtype=np.float32)
        numbers: NDArray[np.float32] = np.load(path, allow_pickle=False)
        return numbers

    @cached_property
    def session_facts(self) -> SessionFacts | None:
        """What numbers about a session are counted with; None in a bundle from before the head was told any.

        Raises:
            BundleError: where the head was told other numbers than this version counts.
        """
        told = self._settings.get("session_statistics")
        if told is None:
            return None
        if tuple(told["names"]) != STATISTICS:
            raise BundleError(
                f"{self._folder}: its intent head reads {len(told['names'])} numbers about a session, and not all are "
                f"among the {len(STATISTICS)} that this version of Mercato counts; install the version that made the "
                "bundle or export it again"
            )
        leaf = np.load(self._folder / LEAF, allow_pickle=False)
        return SessionFacts(leaf, np.load(self._folder / "prices.npy", allow_pickle=False), told["pause"])

    @cached_property
    def sensitive_items(self) -> NDArray[np.bool_] | None:
        """Whether each item is of a sensitive category, ``[items]``, of which nothing is told; None where none is."""
        path = self._folder / SENSITIVE
        if not path.is_file():
            return None
        mask: NDArray[np.bool_] = np.load(path, allow_pickle=False)
        return mask

    @cached_property
    def item_fields(self) -> ItemFields:
        """What a person wants to see of an item."""
        return ItemFields.open(self._folder)

    @cached_property
    def item_texts(self) -> Strings:
        """Product texts by item code."""
        return Strings.open(self._folder / "item_texts")

    @cached_property
    def query_texts(self) -> Strings:
        """The log's search terms by query code."""
        return Strings.open(self._folder / "queries")

    @cached_property
    def query_vectors(self) -> NDArray[np.float32]:
        """``[queries, text_dim]``: their text vectors."""
        vectors: NDArray[np.float32] = np.load(self._folder / "query_vectors.npy", mmap_mode="r")
        return vectors

    @cached_property
    def history_actions(self) -> frozenset[str]:
        """Actions that histories are made of."""
        return frozenset(self._settings["history_actions"])

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What encodes a row of the users table."""
        vocabularies = json.loads((self._folder / "vocabulary.json").read_text(encoding="utf-8"))
        return Vocabulary.from_json(vocabularies["users"])

    def features(self, profile: Mapping[str, Any]) -> UserFeatures:
        """Return the encoded features of a profile; what it does not say is missing."""
        row = encode(self.vocabulary, {name: [value] for name, value in profile.items()}, 1)
        return UserFeatures(row.categorical, row.numeric, row.numeric_mask)

    def profile(self, features: UserFeatures) -> str:
        """Return the same in words."""
        return profile_text(
            known_features(self.vocabulary, features.categorical[0], features.numeric[0], features.numeric_mask[0])
        )
