"""The tower on graded pairs: one encoder reads queries and product texts apart, and a pair scores their cosine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.encode import encode_chunks, encode_rows
from learning.encoder_folder import EncoderFolder
from learning.graded_losses import grade_loss, graded_softmax_loss, in_batch_softmax_loss
from learning.graded_training import SCORING_TOKENS, GradedBatch, PairScorer
from learning.language_model import TextEncoder
from learning.tokens import load_tokenizer, token_ids

_AMONG_ALL, _ALONE = 0.3, 0.3
"""Weights of the two other losses beside the softmax among a query's own products."""
LINE_LEARNING_RATE = 1e-2
"""Peak rate of the two numbers that make a grade of a cosine: they start from a guess."""
LINE = ("slope", "offset")


class GradedTower(PairScorer):
    """Scores pairs by the cosine of their vectors, times a scale."""

    def __init__(
        self,
        encoder: TextEncoder,
        folder: EncoderFolder,
        query: NDArray[np.int32],
        queries: Sequence[str],
        texts: Sequence[str],
        scale: float,
        grades: tuple[float, float],
    ) -> None:
        """Tokenise everything once.

        Args:
            encoder: with the weights to start from.
            folder: where it came from: its tokenizer, prefixes and token limit.
            query: ``[pairs]``, codes.
            queries: text by code, without prefix.
            texts: product text of each pair, without prefix.
            scale: what cosines are multiplied with in a softmax.
            grades: the lowest and the highest there are.
        """
        super().__init__()
        self.encoder, self.scale = encoder, scale
        self.lowest, self.highest = grades
        self.slope, self.offset = nn.Parameter(torch.tensor(5.0)), nn.Parameter(torch.tensor(-2.5))
        tokenizer = load_tokenizer(folder.path, folder.max_tokens)
        distinct, self._text = np.unique(np.asarray(texts, dtype=object), return_inverse=True)
        self._query = query
        self._queries = token_ids(tokenizer, [folder.query_prefix + text for text in queries])
        self._texts = token_ids(tokenizer, [folder.item_prefix + text for text in distinct])

    def loss(self, batch: GradedBatch) -> Tensor:
        """Return the loss of a step; a text that comes several times is read once.

        A query's own products share its softmax by their gains, with the whole batch's beside them at a lower weight;
        and each cosine by itself, on a line that is learned along, foretells its grade, so that scores mean the same
        for all queries.
        """
        device = next(self.parameters()).device
        queries, owner = self._places(self._query, batch.rows, device)
        texts, told = self._places(self._text, batch.rows, device)
        read = encode_chunks(self.encoder, [self._queries[one] for one in queries], device).float()
        found = encode_chunks(self.encoder, [self._texts[one] for one in texts], device).float()
        with torch.autocast(device.type, enabled=False):  # three digits are too few for a cosine
            cosines = read @ found.T
        own = cosines.flatten().index_select(0, owner * len(texts) + told)
        among_own = graded_softmax_loss(own * self.scale, batch.grades, batch.weights, batch.query)
        among_all = in_batch_softmax_loss(cosines * self.scale, batch.grades, batch.weights, owner, told)
        alone = grade_loss(own * self.slope + self.offset, batch.grades, batch.weights, self.highest, self.lowest)
        return among_own + _AMONG_ALL * among_all + _ALONE * alone

    def score(self, rows: NDArray[np.int64], precision: str) -> NDArray[np.float32]:
        """Return cosines of some pairs, ``[rows]``, from -1 to 1."""
        queries, asked = np.unique(self._query[rows], return_inverse=True)
        texts, told = np.unique(self._text[rows], return_inverse=True)
        read = self._vectors([self._queries[one] for one in queries], precision)[asked]
        found = self._vectors([self._texts[one] for one in texts], precision)[told]
        cosines: NDArray[np.float32] = (read * found).sum(axis=1)
        return cosines

    @staticmethod
    def _places(
        codes: NDArray[np.integer], rows: NDArray[np.int64], device: torch.device
    ) -> tuple[NDArray[np.integer], Tensor]:
        """Return the distinct codes of some pairs, and each pair's place among them."""
        distinct, place = np.unique(codes[rows], return_inverse=True)
        return distinct, torch.from_numpy(place).to(device)

    def _vectors(self, rows: list[list[int]], precision: str) -> NDArray[np.float32]:
        training, device = self.training, next(self.parameters()).device
        self.eval()
        vectors: NDArray[np.float32] = encode_rows(
            self.encoder, rows, device, tokens_per_batch=SCORING_TOKENS, precision=precision
        ).numpy()
        self.train(training)
        return vectors
