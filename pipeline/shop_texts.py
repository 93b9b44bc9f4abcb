"""The shop's texts and the encoder that reads them: whether it fits, or one trained on these very texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_QUERY
from commerce.histories import Histories
from configs.schema import TextConfig
from learning.encoder_fit import check_fit
from pipeline.catalogue import Catalogue


@dataclass(frozen=True)
class ShopTexts:
    """What the encoder is to read."""

    items: Sequence[str]
    """Product text by item code."""
    queries: Sequence[str]
    """Search terms by query code."""

    def report(self, text: TextConfig, out: Path) -> list[str]:
        """Write ``text_report.json`` into ``out``, beside the encoder if one was trained, and return what to say.

        Raises:
            EncoderError: if the encoder is not there, or knows too little of these texts.
        """
        fit = check_fit({"items": self.items, "queries": self.queries}, text, out / "encoder")
        (out / "text_report.json").write_text(json.dumps(fit.as_json(), indent=1, ensure_ascii=False))
        return fit.lines

    def known_before(
        self,
        histories: Histories,
        cuts: NDArray[np.int64],
        available_from: NDArray[np.int64],
        start: int | None,
    ) -> tuple[list[str], list[str]]:
        """Return the texts of items, and the queries, that were known before the ranker window.

        Args:
            histories: of all users.
            cuts: ``[users]``, absolute position where what may be trained on ends.
            available_from: ``[items]``, when each item came, in microseconds.
            start: when the window begins, in microseconds; None where it begins for each user at another time, and
                items count as always known.
        """
        before = np.arange(len(histories.query)) < np.repeat(cuts, np.diff(histories.offsets))
        asked = np.unique(histories.query[before])
        queries = [self.queries[code] for code in asked[asked != NO_QUERY]]
        known = np.full(len(self.items), True) if start is None else available_from < start
        return [item for item, there in zip(self.items, known, strict=True) if there], queries

    def train_encoder(
        self,
        text: TextConfig,
        histories: Histories,
        cuts: NDArray[np.int64],
        start: int | None,
        catalogue: Catalogue,
        targets: Mapping[str, float],
        seed: int,
        out: Path,
    ) -> list[str]:
        """Train a small encoder into ``out / "encoder"`` on what was known before the ranker window.

        Queries first searched for later, and texts of items that come later, are held back.

        Args:
            text: the ``text`` section.
            histories: of all users.
            cuts: ``[users]``, absolute position where what may be learned from ends.
            start: when the ranker window starts, microseconds; None where each user has their own.
            catalogue: as ``prepare`` wrote it.
            targets: action -> weight: what an answer to a query is.
            seed: of the training.
            out: where the folder ``encoder`` goes.
        """
        # torch comes with it, and only this case needs it.
        from learning.search_pairs import search_pairs
        from learning.shop_encoder import train_shop_encoder

        items, queries = self.known_before(histories, cuts, catalogue.available_from, start)
        pairs = search_pairs(histories, cuts, self.items, self.queries, targets)
        return train_shop_encoder([*items, *queries], pairs, out / "encoder", text, seed)
