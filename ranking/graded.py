"""The cross-encoder on graded pairs: query and product text are read together, every token looking at every other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.encode import token_batches
from learning.graded_losses import grade_loss, graded_softmax_loss
from learning.graded_training import SCORING_TOKENS, GradedBatch, PairScorer
from learning.hardware import autocast
from learning.language_model import TextEncoder
from ranking.full_attention import pack, pair_lengths
from ranking.pair_reader import PackedPairs, PairReader
from ranking.pairs import PairTokenizer

_HEAD_SPREAD = 0.02
HEAD = "head."
"""Prefix of the parameters that start from chance."""


class GradedCrossEncoder(PairScorer):
    """Scores pairs by one number out of the pooled states of all tokens of both texts.

    The states are pooled as the encoder's folder declares: a sentence encoder's first token was never taught to speak
    for the whole text.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        tokenizer: PairTokenizer,
        query: NDArray[np.int32],
        queries: Sequence[str],
        texts: Sequence[str],
        grades: tuple[float, float],
    ) -> None:
        """Tokenise everything once.

        Args:
            encoder: BERT-like, with the weights to start from; pooled by ``cls`` or ``mean``.
            tokenizer: the encoder's own, which also says where texts are cut.
            query: ``[pairs]``, codes.
            queries: text by code.
            texts: product text of each pair.
            grades: the lowest and the highest there are.

        Raises:
            ValueError: for an encoder of another kind or pooling.
        """
        super().__init__()
        self.encoder, self.reader = encoder, PairReader(encoder.model, encoder.pooling)  # type: ignore[arg-type]
        self.lowest, self.highest = grades
        self.head = nn.Linear(self.reader.width, 1)
        nn.init.normal_(self.head.weight, std=_HEAD_SPREAD)
        nn.init.zeros_(self.head.bias)
        distinct, place = np.unique(np.asarray(texts, dtype=object), return_inverse=True)
        self._join = tokenizer.join
        self._queries, self._texts = tokenizer.contexts(queries), tokenizer.items(list(distinct))
        self._pairs = np.stack([query.astype(np.int64), place.astype(np.int64)], axis=1)

    def loss(self, batch: GradedBatch) -> Tensor:
        """Return the loss of a step: each grade by itself, and the order of a query's products."""
        scores = self._read(batch.rows)
        alone = grade_loss(scores, batch.grades, batch.weights, self.highest, self.lowest)
        return alone + graded_softmax_loss(scores, batch.grades, batch.weights, batch.query)

    @torch.no_grad()
    def score(self, rows: NDArray[np.int64], precision: str) -> NDArray[np.float32]:
        """Return the scores of some pairs, ``[rows]``: logits of the grade."""
        training, device = self.training, self.head.weight.device
        self.eval()
        scores = np.zeros(len(rows), dtype=np.float32)
        lengths = pair_lengths(self._queries, self._texts, self._pairs[rows], self._join).tolist()
        with autocast(precision, device.type):
            for batch in token_batches(lengths, SCORING_TOKENS):
                scores[batch] = self._read(rows[batch]).cpu().numpy()
        self.train(training)
        return scores

    def _read(self, rows: NDArray[np.int64]) -> Tensor:
        """Return the scores of pairs that are read together, float32 ``[rows]``."""
        packed = pack(self._queries, self._texts, self._pairs[rows], self._join)
        states = self.reader(PackedPairs(*(part.to(self.head.weight.device) for part in packed)))
        scores: Tensor = self.head(states).float().squeeze(-1)
        return scores
