"""The text encoder trained along with the towers (``tuning: full``): fresh vectors where a gradient is to flow.

Only texts of a step's positives and queries are encoded anew, with gradient; every other text keeps the vector that it
got at the last refresh, before each validation. For small encoders: everything is encoded once an epoch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from learning.encode import pad, token_batches
from learning.language_model import TextEncoder

_TOKENS_PER_BATCH = 8192


class TunedTexts(nn.Module):
    """An encoder in training, the tokens of all texts, and the vectors that they got last."""

    vectors: Tensor

    def __init__(self, encoder: TextEncoder, rows: Sequence[Sequence[int]], vectors: Tensor, most: int) -> None:
        """Take an encoder into training.

        Args:
            encoder: its weights are changed, with its dropout on.
            rows: token ids of every text; empty for an empty text, whose vector stays zero.
            vectors: ``[texts, text_dim]``, as the encoder gives them now.
            most: texts encoded anew in a step, at most.
        """
        super().__init__()
        self.encoder, self.rows, self.most = encoder.train(), [list(row) for row in rows], most
        # Part of a checkpoint: a resumed training must go on with vectors as stale as they were.
        self.register_buffer("vectors", vectors.clone())

    def fresh(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return (codes, vectors with gradient) of distinct texts, ``[fresh]`` and ``[fresh, text_dim]``."""
        chosen = torch.unique(codes)
        if len(chosen) > self.most:
            chosen = chosen[torch.randperm(len(chosen), device=chosen.device)[: self.most]]
        chosen = chosen[torch.tensor([bool(self.rows[code]) for code in chosen.tolist()], dtype=torch.bool)]
        if not len(chosen):
            return chosen, self.vectors.new_zeros(0, self.vectors.shape[1])
        ids, mask = pad([self.rows[code] for code in chosen.tolist()])
        return chosen, self.encoder(ids.to(chosen.device), mask.to(chosen.device))

    @torch.no_grad()
    def refresh(self) -> None:
        """Encode every text anew, without dropout."""
        training = self.encoder.training
        self.encoder.eval()
        filled = [code for code, row in enumerate(self.rows) if row]
        for batch in token_batches([len(self.rows[code]) for code in filled], _TOKENS_PER_BATCH):
            codes = [filled[place] for place in batch]
            ids, mask = pad([self.rows[code] for code in codes])
            device = self.vectors.device
            self.vectors[codes] = self.encoder(ids.to(device), mask.to(device)).float()
        self.encoder.train(training)


def mix(stale: Tensor, rows: Tensor, fresh: Tensor) -> Tensor:
    """Return ``stale`` with some rows replaced by fresh ones, gradient flowing into these.

    Args:
        stale: ``[texts, text_dim]``.
        rows: ``[fresh]`` int64, distinct.
        fresh: ``[fresh, text_dim]``.
    """
    return stale.index_copy(0, rows, fresh.to(stale.dtype)) if len(rows) else stale
