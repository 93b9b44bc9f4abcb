"""The trained torch modules as the runtime calls models: they make the golden answers that graphs must repeat.

Each goes its offline way: texts through ``learning.encode``, lists through ``ranking.rerank``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from learning.encode import encode
from learning.language_model import TextEncoder
from ranking.batches import Examples
from ranking.module import Ranker
from ranking.pairs import PairTokenizer, Tokens
from ranking.rerank import score_lists
from serving.models import Floats, UserInputs
from towers.module import TwoTower

_TOKENS_PER_BATCH = 8192


class UserGraph(nn.Module):
    """The user tower and the intent head as one graph: who the user is and what they are about."""

    def __init__(self, towers: TwoTower) -> None:
        super().__init__()
        self.user, self.intent = towers.user, towers.intent

    def forward(
        self,
        event_vectors: Tensor,
        query_vectors: Tensor,
        action: Tensor,
        gap: Tensor,
        count: Tensor,
        categorical: Tensor,
        numeric: Tensor,
        numeric_mask: Tensor,
        statistics: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return unit vectors ``[batch, dim]`` and intent probabilities ``[batch, 3]``.

        Arguments as the tower's, and what the head is told of the session, ``[batch, statistics]``.
        """
        vectors, states = self.user(
            event_vectors, query_vectors, action, gap, count, categorical, numeric, numeric_mask
        )
        return vectors, self.intent(states, statistics)


@dataclass(frozen=True)
class TorchReranker:
    """The cross-encoder with what it reads."""

    ranker: Ranker
    tokenizer: PairTokenizer
    item_tokens: Tokens
    """Of every item code."""


class TorchModels:
    """``serving.models.Models`` by torch, in fp32."""

    def __init__(
        self,
        text: TextEncoder,
        tokenizer: Tokenizer,
        query_prefix: str,
        user: UserGraph | None,
        reranker: TorchReranker | None,
    ) -> None:
        """Join the parts, which are in evaluation mode and on the processor; None where the bundle has no such part."""
        self._text, self._tokenizer, self._prefix = text, tokenizer, query_prefix
        self._user, self._reranker = user, reranker

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return the unit text vector of each query, ``[texts, text_dim]``; zeros for an empty one."""
        vectors = np.zeros((len(texts), self._text.dim), dtype=np.float32)
        rows = [row for row, text in enumerate(texts) if text]
        if rows:
            full = [self._prefix + texts[row] for row in rows]
            vectors[rows] = encode(self._text, self._tokenizer, full, tokens_per_batch=_TOKENS_PER_BATCH)
        return vectors

    @torch.inference_mode()
    def users(self, inputs: UserInputs) -> tuple[Floats, Floats]:
        """Return unit user vectors ``[batch, dim]`` and intent probabilities ``[batch, 3]``."""
        assert self._user is not None, "the bundle is unpersonalised, so nothing may ask for users"
        vectors, intents = self._user(**{name: torch.from_numpy(array) for name, array in vars(inputs).items()})
        return vectors.numpy(), intents.numpy()

    def score(self, context: str, items: NDArray[np.int32], features: Floats, intent: Floats) -> Floats:
        """Return the reranker's score of each candidate of one request, ``[candidates]``."""
        assert self._reranker is not None, "the gate stayed shut, so nothing may ask for scores"
        examples = Examples(
            items[None],
            features[None],
            intent[None],
            self._reranker.tokenizer.contexts([context]),
            self._reranker.item_tokens,
        )
        scores: Floats = score_lists(
            self._reranker.ranker, examples, tokens_per_batch=_TOKENS_PER_BATCH, precision="fp32"
        )[0]
        return scores
