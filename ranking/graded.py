"""The cross-encoder on graded pairs: query and product text are read together, every token looking at every other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from learning.encode import length_chunks, pad, token_batches
from learning.encoder_folder import EncoderFolder
from learning.graded_losses import grade_loss, graded_softmax_loss
from learning.graded_training import GradedBatch, PairScorer
from learning.language_model import TextEncoder, pool
from learning.tokens import load_tokenizer

_SCORING_TOKENS = 8192
"""Padded tokens that are read together while nothing is trained."""
_CALL_TOKENS = 256
"""What a further call of the model costs, in tokens, where a step's pairs are read in chunks of similar length."""
_HEAD_SPREAD = 0.02
HEAD = "head."
"""Prefix of the parameters that start from chance."""


class GradedCrossEncoder(PairScorer):
    """Scores pairs by one number out of the pooled states of ``[CLS] query [SEP] product text [SEP]``.

    The states are pooled as the encoder's folder declares: a sentence encoder's first token was never taught to speak
    for the whole text.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        folder: EncoderFolder,
        texts: Sequence[tuple[str, str]],
        grades: tuple[float, float],
    ) -> None:
        """Tokenise everything once.

        Args:
            encoder: with the weights to start from.
            folder: where it came from: its tokenizer, and how many tokens a pair may have.
            texts: (query, product text) of each pair; where both are too long, the longer one is cut.
            grades: the lowest and the highest there are.
        """
        super().__init__()
        self.encoder = encoder
        self.lowest, self.highest = grades
        self.head = nn.Linear(encoder.dim, 1)
        nn.init.normal_(self.head.weight, std=_HEAD_SPREAD)
        nn.init.zeros_(self.head.bias)
        self._ids, self._types = pair_tokens(load_tokenizer(folder.path, folder.max_tokens), texts)

    def loss(self, batch: GradedBatch) -> Tensor:
        """Return the loss of a step: each grade by itself, and the order of a query's products."""
        device = next(self.parameters()).device
        chunks = length_chunks([len(self._ids[row]) for row in batch.rows], _CALL_TOKENS)
        parts = [self._read(batch.rows[chunk], device) for chunk in chunks]
        place = torch.from_numpy(np.concatenate(chunks)).to(device).argsort()
        scores = torch.cat(parts).index_select(0, place)
        alone = grade_loss(scores, batch.grades, batch.weights, self.highest, self.lowest)
        return alone + graded_softmax_loss(scores, batch.grades, batch.weights, batch.query)

    @torch.no_grad()
    def score(self, rows: NDArray[np.int64], precision: str) -> NDArray[np.float32]:
        """Return the scores of some pairs, ``[rows]``: logits of the grade."""
        training, device = self.training, next(self.parameters()).device
        self.eval()
        scores = np.zeros(len(rows), dtype=np.float32)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            for batch in token_batches([len(self._ids[row]) for row in rows], _SCORING_TOKENS):
                scores[batch] = self._read(rows[batch], device).cpu().numpy()
        self.train(training)
        return scores

    def _read(self, rows: NDArray[np.int64], device: torch.device) -> Tensor:
        """Return the scores of some pairs that are padded together, float32 ``[rows]``."""
        ids, mask = pad([self._ids[row] for row in rows])
        types, _ = pad([self._types[row] for row in rows])
        mask = mask.to(device)
        kinds = {"token_type_ids": types.to(device)} if self._reads_types else {}
        states = self.encoder.model(input_ids=ids.to(device), attention_mask=mask, **kinds).last_hidden_state
        scores: Tensor = self.head(pool(states.float(), mask, self.encoder.pooling)).float().squeeze(-1)
        return scores

    @property
    def _reads_types(self) -> bool:
        """Whether the model tells the two texts apart by token types; RoBERTa's kind has a single one."""
        return int(getattr(self.encoder.model.config, "type_vocab_size", 0)) > 1  # type: ignore[union-attr]


def pair_tokens(tokenizer: Tokenizer, texts: Sequence[tuple[str, str]]) -> tuple[list[list[int]], list[list[int]]]:
    """Return token ids and types of pairs, as the tokenizer's own template joins two texts."""
    encoded = tokenizer.encode_batch(list(texts))
    return [one.ids for one in encoded], [one.type_ids for one in encoded]
