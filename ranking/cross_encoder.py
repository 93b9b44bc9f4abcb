"""The cross-encoder: reads a request's context and its candidates' texts together and scores the candidates.

The context is read once per request. Its tokens attend to each other; an item's tokens attend to the context and to
themselves, never to another item, and an item's positions start at a fixed offset. So an item's score depends only on
(context, item), and a request costs |context| + k x |item| tokens instead of k x (|context| + |item|).

The same weights run in two forms with equal scores: packed lists (training, offline), and plain pairs (the exported
graph, ``forward``), where the list has one item.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils import logging

PADDING = -1
"""Segment of padding; 0 is the context, 1, 2, ... are the items of the list."""
INTENT_HEADS = 3


class CrossEncoder(nn.Module):
    """Lowest layers of a BERT-like encoder, numeric features joined in, and one score head per intent."""

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(
        self, encoder: PreTrainedModel, features: int, context_tokens: int, width: int, dropout: float
    ) -> None:
        """Join the parts.

        Args:
            encoder: reads token ids with an explicit attention mask ``[batch, 1, tokens, tokens]`` and positions.
            features: number of numeric features per candidate.
            context_tokens: position at which every item starts.
            width: of the layer in which text and features meet.
            dropout: on that layer, while training.
        """
        super().__init__()
        self.encoder = encoder
        self.context_tokens = context_tokens
        self.text = nn.Linear(encoder.config.hidden_size, width)
        self.numbers = nn.Linear(features, width)
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.Linear(width, INTENT_HEADS)
        # Straight from the features as well: a good single feature needs no hidden layer, and few lists teach it.
        self.direct = nn.Linear(features, INTENT_HEADS, bias=False)
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_scale", torch.ones(features))

    def standardise(self, features: Tensor) -> None:
        """Take mean and spread of the numeric features from ``features`` ``[candidates, features]``."""
        spread = features.std(dim=0, unbiased=False)
        self.feature_mean.copy_(features.mean(dim=0))
        # A feature that never varied in training says nothing: a huge scale keeps it at zero for ever.
        self.feature_scale.copy_(torch.where(spread > 1e-6, spread, torch.full_like(spread, 1e12)))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, features: Tensor, intent: Tensor
    ) -> Tensor:
        """Score pairs: the form that is exported.

        Args:
            input_ids: ``[pairs, tokens]``, int64, context then item, padded at the end.
            attention_mask: ``[pairs, tokens]``, int64, 0 at padding.
            token_type_ids: ``[pairs, tokens]``, int64, 1 at the item's tokens.
            features: ``[pairs, features]``, as ``commerce.state.candidate_features`` gives them.
            intent: ``[pairs, 3]``, probabilities in the order of ``INTENTS``.

        Returns: ``[pairs]`` float32, higher is better; comparable within a request only.
        """
        context_length = ((1 - token_type_ids) * attention_mask).sum(dim=1, keepdim=True)
        index = torch.cumsum(torch.ones_like(input_ids), dim=1) - 1
        positions = (index + token_type_ids * (self.context_tokens - context_length)) * attention_mask
        segments = torch.where(attention_mask > 0, token_type_ids, torch.full_like(token_type_ids, PADDING))
        return self.score(input_ids, segments, positions, features[:, None, :], intent)[:, 0]

    def score(self, input_ids: Tensor, segments: Tensor, positions: Tensor, features: Tensor, intent: Tensor) -> Tensor:
        """Score packed lists: one row is a context followed by its candidates.

        Args:
            input_ids: ``[lists, tokens]``, int64.
            segments: ``[lists, tokens]``, int64: 0 context, i the list's i-th item, ``PADDING`` elsewhere.
            positions: ``[lists, tokens]``, int64: from 0 in the context, from ``context_tokens`` in each item.
            features: ``[lists, length, features]``.
            intent: ``[lists, 3]``.

        Returns: ``[lists, length]`` float32; what stands past a list's end is arbitrary.
        """
        states = self.encoder(
            input_ids=input_ids,
            attention_mask=context_once_mask(segments)[:, None],
            token_type_ids=(segments > 0).long(),
            position_ids=positions,
        ).last_hidden_state
        text = self.text(item_means(states.float(), segments, features.shape[1]))
        standard = ((features - self.feature_mean) / self.feature_scale).clamp(-8.0, 8.0)
        joined = self.dropout(nn.functional.gelu(text + self.numbers(standard)))
        by_intent = self.heads(joined) + self.direct(standard)
        mixed: Tensor = (by_intent.float() * intent[:, None, :]).sum(dim=2)
        return mixed


def context_once_mask(segments: Tensor) -> Tensor:
    """Return who attends to whom, bool ``[lists, tokens, tokens]`` (true: the row's token reads the column's).

    Every token reads its own segment; items read the context too. Padding reads only padding, so that no row of the
    softmax is empty.
    """
    own = segments[:, :, None] == segments[:, None, :]
    context = (segments[:, None, :] == 0) & (segments[:, :, None] > 0)
    return own | context


def item_means(states: Tensor, segments: Tensor, length: int) -> Tensor:
    """Return the mean state of each item's tokens, ``[lists, length, hidden]``, zeros where there is no item."""
    numbers = torch.arange(1, length + 1, device=segments.device)
    belongs = (segments[:, None, :] == numbers[None, :, None]).to(states.dtype)
    return belongs @ states / belongs.sum(dim=2, keepdim=True).clamp(min=1.0)


def lowest_layers(folder: str, layers: int, tokens: int) -> PreTrainedModel:
    """Load the lowest ``layers`` blocks of the encoder in ``folder``, with its weights.

    Raises:
        ValueError: if it has fewer blocks, too few positions for ``tokens``, or is not BERT-like.
    """
    config = AutoConfig.from_pretrained(folder)
    if config.model_type != "bert":
        raise ValueError(
            f"the encoder in {folder} is a {config.model_type!r} model, but the cross-encoder needs one that takes a "
            "mask of who reads whom, token types and free positions ('bert'); set ranking.encoder to such a model"
        )
    if not 1 <= layers <= config.num_hidden_layers:
        raise ValueError(
            f"ranking.layers={layers}, but the encoder in {folder} has {config.num_hidden_layers} layers; choose 1 to "
            f"{config.num_hidden_layers}"
        )
    if tokens > config.max_position_embeddings:
        raise ValueError(
            f"ranking.context_tokens + ranking.item_tokens is {tokens}, but the encoder in {folder} knows "
            f"{config.max_position_embeddings} positions; lower them"
        )
    config.num_hidden_layers = layers
    quiet: Any = logging.disable_progress_bar
    quiet()
    encoder: PreTrainedModel = AutoModel.from_pretrained(
        folder, config=config, dtype=torch.float32, add_pooling_layer=False, attn_implementation="sdpa"
    )
    return encoder


def empty_encoder(config: dict[str, Any]) -> PreTrainedModel:
    """Build an encoder with random weights from its configuration, for a checkpoint to fill."""
    shape = AutoConfig.for_model(**config)
    build: Any = AutoModel.from_config
    encoder: PreTrainedModel = build(shape, add_pooling_layer=False, attn_implementation="sdpa")
    return encoder
