"""The text encoder trained along with the towers (``tuning: lora | full``): fresh vectors where a gradient is to flow.

Only texts of a step's positives and queries are encoded anew, with gradient; every other text keeps the vector that it
got at the last refresh, before each validation. Equal texts are encoded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from learning.encode import encode_chunks, encode_rows
from learning.language_model import TextEncoder
from learning.views import without_some_tokens


class TunedTexts(nn.Module):
    """An encoder in training, the tokens of all texts, and the vectors that they got last.

    Its state holds the weights that are trained and the vectors. Frozen weights (under LoRA, nearly all) are left as
    they are in the encoder's folder: checkpoints neither hold nor change them.
    """

    vectors: Tensor

    def __init__(
        self,
        encoder: TextEncoder,
        rows: Sequence[Sequence[int]],
        vectors: Tensor,
        most: int,
        *,
        dropped: float = 0.0,
        tokens_per_batch: int = 8192,
        precision: str = "fp32",
    ) -> None:
        """Take an encoder into training.

        Args:
            encoder: token ids and mask -> vectors; those of its weights that want a gradient are changed, with its
                dropout on.
            rows: token ids of every text; empty for an empty text, whose vector stays zero.
            vectors: ``[texts, text_dim]``, as the encoder gives them now.
            most: distinct texts encoded anew in a step, at most.
            dropped: share of a text's tokens left out at random when it is encoded anew.
            tokens_per_batch: padded tokens in a batch of a refresh.
            precision: of a refresh, ``auto``, ``fp32`` or ``bf16`` (autocast).
        """
        super().__init__()
        self.encoder, self.most, self.dropped = encoder.train(), most, dropped
        self.tokens_per_batch, self.precision = tokens_per_batch, precision
        numbers: dict[tuple[int, ...], int] = {}
        self.place = torch.tensor([numbers.setdefault(tuple(row), len(numbers)) if row else -1 for row in rows])
        """``[texts]`` int64: which of the distinct texts each is, -1 for an empty one."""
        self.distinct = list(numbers)
        # Part of a checkpoint: a resumed training must go on with vectors as stale as they were.
        self.register_buffer("vectors", vectors.clone())
        self.register_state_dict_post_hook(_without_frozen)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_with_frozen)  # type: ignore[no-untyped-call]

    def fresh(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return (codes, vectors with gradient) of distinct codes, ``[fresh]`` and ``[fresh, text_dim]``."""
        codes = torch.unique(codes)
        places = self.place.to(codes.device)[codes]
        chosen = torch.unique(places[places >= 0])
        if len(chosen) > self.most:
            drawn = torch.randperm(len(chosen), device=chosen.device)[: self.most]
            chosen = chosen[drawn].sort().values
        if not len(chosen):
            return codes[:0], self.vectors.new_zeros(0, self.vectors.shape[1])
        vectors = encode_chunks(self.encoder, self._views(chosen.tolist()), codes.device)
        kept = torch.isin(places, chosen)
        # Indexing would sum the gradients of equal texts in whatever order threads come; a resumed training would part.
        return codes[kept], vectors.index_select(0, torch.searchsorted(chosen, places[kept]))

    def _views(self, texts: list[int]) -> list[Sequence[int]]:
        if not self.dropped:
            return [self.distinct[text] for text in texts]
        # From torch's generator, which is seeded for each step.
        random = np.random.default_rng(int(torch.randint(2**62, ())))
        return [without_some_tokens(self.distinct[text], self.dropped, random) for text in texts]

    @torch.no_grad()
    def refresh(self) -> None:
        """Encode every text anew, without dropout."""
        if not self.distinct:
            return
        training = self.encoder.training
        self.encoder.eval()
        device = self.vectors.device
        found = encode_rows(
            self.encoder, self.distinct, device, tokens_per_batch=self.tokens_per_batch, precision=self.precision
        )
        filled = self.place >= 0
        self.vectors[filled.to(device)] = found[self.place[filled]].to(device)
        self.encoder.train(training)


def _without_frozen(texts: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name, parameter in texts.named_parameters():
        if not parameter.requires_grad:
            del state[prefix + name]


def _with_frozen(texts: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, parameter in texts.named_parameters():
        if not parameter.requires_grad:
            state.setdefault(prefix + name, parameter.detach())


def mix(stale: Tensor, rows: Tensor, fresh: Tensor) -> Tensor:
    """Return ``stale`` with some rows replaced by fresh ones, gradient flowing into these.

    Args:
        stale: ``[texts, text_dim]``.
        rows: ``[fresh]`` int64, distinct.
        fresh: ``[fresh, text_dim]``.
    """
    return stale.index_copy(0, rows, fresh.to(stale.dtype)) if len(rows) else stale
