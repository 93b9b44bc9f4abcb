"""Full attention: context and item are read together as a pair, every token looking at every other.

The dearer and the more exact of the two attentions: a list costs candidates x (|context| + |item|) tokens in every
layer, where ``ranking.cross_encoder`` reads each text once. ``FullCrossEncoder`` takes its place in a ranker, with the
same numbers, the same heads and the same exported form. ``PairCrossEncoder`` is the plain thing: a score for two texts.

    reader = PairReader(lowest_layers(folder, layers=3, tokens=160))
    model = PairCrossEncoder(reader, dropout=0.1)
    tokenizer = PairTokenizer(load_tokenizer(folder, 160), context_tokens=32, item_tokens=128)
    queries, texts = tokenizer.contexts(all_queries), tokenizer.items(all_texts)      # each text once, kept as you like
    scores = score_pairs(model, queries, texts, pairs, join=tokenizer.join, ...)      # pairs: [n, 2], rows of the two
    loss = f(model(pack(queries, texts, pairs, tokenizer.join)))                      # with gradient, for training
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from learning.encode import token_batches
from learning.hardware import autocast
from ranking.batches import Batch, Examples
from ranking.heads import PairHead, ScoreHeads
from ranking.pair_reader import PackedPairs, PairReader
from ranking.pairs import PairJoin, Tokens


class FullCrossEncoder(nn.Module):
    """Reads each candidate with its context, joins the numbers in, and has one score head per intent."""

    def __init__(
        self,
        encoder: PreTrainedModel,
        features: int,
        width: int,
        dropout: float,
        join: PairJoin,
        pooling: str = "cls",
    ) -> None:
        """Join the parts.

        Args:
            encoder: BERT-like, at any number of layers.
            features: number of numeric features per candidate.
            width: of the layer in which text and features meet.
            dropout: on that layer, while training.
            join: how the tokenizer makes one text of two.
            pooling: of a pair's token states, ``cls`` or ``mean``.
        """
        super().__init__()
        self.reader = PairReader(encoder, pooling)
        self.heads = ScoreHeads(self.reader.width, features, width, dropout)
        self.join = PairJoin(*join)

    def forward(
        self,
        context_ids: Tensor,
        context_mask: Tensor,
        item_ids: Tensor,
        item_mask: Tensor,
        features: Tensor,
        intent: Tensor,
    ) -> Tensor:
        """Score the candidates of one request: the form that is exported; arguments as ``CrossEncoder.forward``'s.

        Returns: ``[candidates]`` float32, higher is better; comparable within a request only.
        """
        of_each = item_ids.shape[0]
        context = context_ids.expand(of_each, -1), context_mask.expand(of_each, -1)
        states = self.reader.padded(*self._joined(*context, item_ids, item_mask))
        scores: Tensor = self.heads(states, features, intent)
        return scores

    def lists(self, batch: Batch) -> Tensor:
        """Return the scores of lists, ``[lists, length]`` float32; what stands past a list's end is 0."""
        row, column = batch.kept.nonzero(as_tuple=True)
        item = batch.places[row, column]
        ids, types, mask = self._joined(
            batch.context_ids[row], batch.context_mask[row], batch.item_ids[item], batch.item_mask[item]
        )
        there = mask != 0
        states = self.reader(PackedPairs(ids[there], types[there], mask.sum(dim=1)))
        scores: Tensor = self.heads(states, batch.features[row, column], batch.intent[row])
        return scores.new_zeros(batch.kept.shape).index_put((row, column), scores)

    @property
    def words(self) -> nn.Embedding:
        """Table of word vectors, ``[vocabulary, hidden]``."""
        table: nn.Embedding = self.reader.encoder.get_input_embeddings()  # type: ignore[assignment]
        return table

    def training_tokens(self, examples: Examples) -> NDArray[np.int64]:
        """Return the tokens of all pairs of each request, ``[requests]``."""
        beside = examples.contexts.lengths + len(self.join.glue) - self.join.skip
        lengths: NDArray[np.int64] = examples.of_items + examples.candidates * beside
        return lengths

    def reading_tokens(self, requests: float, context: float, candidates: float, item: float, items: float) -> float:
        """Return the tokens that scoring reads: those of every pair; arguments as ``CrossEncoder.reading_tokens``'."""
        return candidates * (context + len(self.join.glue) - self.join.skip + item)

    @torch.inference_mode()
    def score_examples(
        self, examples: Examples, *, tokens_per_batch: int, done: Callable[[int], object]
    ) -> NDArray[np.float32]:
        """Return the scores of lists, ``[requests, length]``, 0 past a list's end.

        Pairs of nearly equal length are read together, whatever lists they stand in.

        Args:
            examples: the requests.
            tokens_per_batch: tokens read together.
            done: told the number of pairs of each batch.
        """
        device = next(self.parameters()).device
        row, column = np.nonzero(examples.items >= 0)
        pairs = np.stack([row, examples.items[row, column]], axis=1).astype(np.int64)
        scores = np.zeros(examples.items.shape, dtype=np.float32)
        lengths = pair_lengths(examples.contexts, examples.item_tokens, pairs, self.join).tolist()
        for batch in token_batches(lengths, tokens_per_batch):
            packed = pack(examples.contexts, examples.item_tokens, pairs[batch], self.join)
            states = self.reader(PackedPairs(*(part.to(device) for part in packed)))
            at = row[batch], column[batch]
            told = (torch.from_numpy(part).to(device) for part in (examples.features[at], examples.intent[at[0]]))
            scores[at] = self.heads(states, *told).float().cpu().numpy()
            done(len(batch))
        return scores

    def _joined(
        self, context_ids: Tensor, context_mask: Tensor, item_ids: Tensor, item_mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return ids, types and mask of pairs, ``[pairs, tokens]`` each.

        Padding stays where it was, in the middle too, and so does an item's start, masked: an exported graph may not
        cut an axis of unknown size.
        """
        skip, glue = self.join
        between = torch.tensor(glue, dtype=torch.int64, device=item_ids.device).expand(item_ids.shape[0], -1)
        inside = item_mask * (torch.arange(item_ids.shape[1], device=item_ids.device) >= skip)
        ids = torch.cat([context_ids, between, item_ids], dim=1)
        mask = torch.cat([context_mask, torch.ones_like(between), inside], dim=1)
        types = torch.cat([torch.zeros_like(context_ids), torch.zeros_like(between), inside], dim=1)
        return ids, types, mask


class PairCrossEncoder(nn.Module):
    """Scores pairs of texts: nothing but what is read counts."""

    def __init__(self, reader: PairReader, dropout: float) -> None:
        """Put a fresh head on a reader; ``dropout`` is the head's, while training."""
        super().__init__()
        self.reader = reader
        self.head = PairHead(reader.width, dropout)

    @classmethod
    def from_classifier(cls, folder: str) -> PairCrossEncoder:
        """Load a published cross-encoder: a BERT-like sequence classifier with a pooler and a single label.

        Raises:
            ValueError: if it has several labels or no pooler.
        """
        given = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="sdpa"
        )
        encoder = given.base_model
        if given.config.num_labels != 1 or getattr(encoder, "pooler", None) is None:
            raise ValueError(
                f"{folder} holds a {type(given).__name__} with {given.config.num_labels} labels, but one with a pooler "
                "and a single label was expected"
            )
        model = cls(PairReader(encoder), given.config.hidden_dropout_prob)
        model.head.dense.load_state_dict(encoder.pooler.dense.state_dict())
        model.head.out.load_state_dict(given.classifier.state_dict())
        encoder.pooler = None
        return model.eval()

    def forward(self, pairs: PackedPairs) -> Tensor:
        """Return the score of each pair, a logit, ``[pairs]``."""
        scores: Tensor = self.head(self.reader(pairs))
        return scores


def pack(left: Tokens, right: Tokens, pairs: NDArray[np.int64], join: PairJoin) -> PackedPairs:
    """Return pairs as a reader takes them; ``pairs`` ``[pairs, 2]`` holds a row of ``left`` and one of ``right``."""
    return PackedPairs(*(torch.from_numpy(part) for part in join.pack(left, right, pairs)))


def pair_lengths(left: Tokens, right: Tokens, pairs: NDArray[np.int64], join: PairJoin) -> NDArray[np.int64]:
    """Return the tokens of each pair, ``[pairs]``."""
    lengths: NDArray[np.int64] = left.lengths[pairs[:, 0]] + right.lengths[pairs[:, 1]] + len(join.glue) - join.skip
    return lengths


@torch.inference_mode()
def score_pairs(
    model: PairCrossEncoder,
    left: Tokens,
    right: Tokens,
    pairs: NDArray[np.int64],
    *,
    join: PairJoin,
    tokens_per_batch: int,
    precision: str = "fp32",
) -> NDArray[np.float32]:
    """Return the scores of pairs, ``[pairs]``: logits. Equal pairs are read once.

    Args:
        model: on the device that scores; in evaluation mode.
        left: tokens of the first texts (queries), as ``PairTokenizer.contexts`` gives them.
        right: tokens of the second texts (products), as ``PairTokenizer.items`` gives them.
        pairs: ``[pairs, 2]``, a row of ``left`` and one of ``right``.
        join: the tokenizer's.
        tokens_per_batch: tokens read together; pairs of nearly equal length share a batch.
        precision: ``auto``, ``fp32`` or ``bf16`` (autocast).
    """
    device = next(model.parameters()).device
    distinct, back = np.unique(pairs, axis=0, return_inverse=True)
    scores = np.zeros(len(distinct), dtype=np.float32)
    lengths = pair_lengths(left, right, distinct, join).tolist()
    with autocast(precision, device.type):
        for batch in token_batches(lengths, tokens_per_batch):
            packed = pack(left, right, distinct[batch], join)
            scores[batch] = model(PackedPairs(*(part.to(device) for part in packed))).float().cpu().numpy()
    return scores[back.reshape(-1)]
