"""What the towers read of a run folder: the catalogue as tensors, and histories with their targets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from commerce.features import Vocabulary
from commerce.histories import Histories
from configs.schema import TextConfig
from learning.encode import folder_table, folder_vectors
from learning.encoder_folder import EncoderFolder
from towers.catalogue import Catalogue, UserFeatures
from towers.item import ItemInputs
from towers.module import Shape


@dataclass(frozen=True)
class Prepared:
    """The files of ``prepare`` that the towers need."""

    folder: Path
    histories: Histories
    cuts: NDArray[np.int64]
    """``[users]``: where what the towers may be trained on ends."""

    @classmethod
    def open(cls, folder: Path) -> Prepared:
        """Open a finished ``prepare`` folder; histories stay on disk."""
        with np.load(folder / "learned.npz") as learned:
            return cls(folder, Histories.open(folder / "histories"), learned["ranker"])

    def events_of_items(self, items: int) -> NDArray[np.int64]:
        """Return how many trainable events each item has, ``[items]``."""
        position = np.arange(len(self.histories.item))
        user = np.searchsorted(self.histories.offsets, position, side="right") - 1
        trained = self.histories.item[position < self.cuts[user]]
        counts: NDArray[np.int64] = np.bincount(trained[trained >= 0], minlength=items)
        return counts

    @property
    def item_texts(self) -> list[str]:
        """Product text by item code."""
        texts: list[str] = pq.read_table(self.folder / "item_texts.parquet")["text"].to_pylist()
        return texts

    @property
    def query_texts(self) -> list[str]:
        """Search terms by query code."""
        texts: list[str] = pq.read_table(self.folder / "queries.parquet")["text"].to_pylist()
        return texts

    def catalogue(
        self,
        encoder: EncoderFolder,
        text: TextConfig,
        id_min_events: int,
        popularity: bool,
        shares: NDArray[np.float64] | None = None,
        chances: NDArray[np.float64] | None = None,
    ) -> Catalogue:
        """Return the shop as the towers read it; texts are encoded, or come from the cache.

        Args:
            encoder: which reads the texts.
            text: the ``text`` section: how it is run.
            id_min_events: trainable events from which an item has an id residual.
            popularity: whether the item tower is told how often items were chosen.
            shares: ``[items]``, each item's share among the trained targets; only training needs it.
            chances: ``[items]``, each item's chance in a draw by popularity; only training needs it.
        """
        folder, texts, queries = self.folder, self.item_texts, self.query_texts
        read = folder_table if text.vectors == "disk" else folder_vectors
        vectors = torch.from_numpy(read(texts, encoder, text, kind="item"))
        asked = folder_vectors(queries, encoder, text, kind="query") if queries else None
        counts = self.events_of_items(len(texts))
        residual = np.where(counts >= id_min_events, np.cumsum(counts >= id_min_events), 0)
        availability = np.load(folder / "availability.npz")
        return Catalogue(
            ItemInputs(
                vectors,
                *_features(folder / "items_features"),
                *_given(folder),
                torch.from_numpy(residual),
                torch.from_numpy(self._popularity(counts, availability["from"], popularity)),
            ),
            torch.from_numpy(asked) if asked is not None else torch.zeros(0, vectors.shape[1]),
            UserFeatures(*_features(folder / "users_features")),
            torch.from_numpy(shares if shares is not None else np.zeros(len(texts))),
            torch.from_numpy(chances if chances is not None else np.zeros(len(texts))),
            torch.from_numpy(availability["from"]),
            torch.from_numpy(availability["until"]),
        )

    def _popularity(self, counts: NDArray[np.int64], since: NDArray[np.int64], told: bool) -> NDArray[np.float32]:
        """Return log(1 + trainable events), standardised, ``[items]``; 0 for an item that came after them."""
        last = self.cuts[self.cuts > self.histories.offsets[:-1]] - 1
        known = told & (since <= self.histories.time[last].max())
        if not known.any():
            return np.zeros(len(counts), dtype=np.float32)
        logs = np.log1p(counts)
        deviation = max(float(logs[known].std()), 1e-6)
        return np.where(known, (logs - logs[known].mean()) / deviation, 0.0).astype(np.float32)

    def shape(self, catalogue: Catalogue) -> Shape:
        """Return the widths and table sizes that these data decide."""
        described = json.loads((self.folder / "vocabulary.json").read_text(encoding="utf-8"))
        items, users = (Vocabulary.from_json(described[name]) for name in ("items", "users"))
        return Shape(
            text_dim=catalogue.items.text.shape[1],
            items=len(catalogue.items),
            residuals=int(catalogue.items.residual.max()),
            item_categories=items.sizes,
            item_numbers=len(items.numeric),
            vector_dim=catalogue.items.vectors.shape[1],
            user_categories=users.sizes,
            user_numbers=len(users.numeric),
        )


def _features(folder: Path) -> tuple[Tensor, Tensor, Tensor]:
    categorical = torch.from_numpy(np.load(folder / "categorical.npy").astype(np.int64))
    numeric = torch.from_numpy(np.load(folder / "numeric.npy").astype(np.float32))
    mask = torch.from_numpy(np.load(folder / "numeric_mask.npy").astype(np.float32))
    return categorical, numeric, mask


def _given(folder: Path) -> tuple[Tensor, Tensor]:
    vectors = torch.from_numpy(np.load(folder / "items_features" / "vectors.npy").astype(np.float32))
    mask = torch.from_numpy(np.load(folder / "items_features" / "vectors_mask.npy").astype(np.float32))
    return vectors, mask
