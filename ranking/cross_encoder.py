"""The cross-encoder: reads a request's context and its candidates' texts and scores the candidates.

Contexts and items are read apart by all kept layers but the last; in the last one an item's first token looks at the
whole context and at its own item. So a context is read once per request and an item once at all, whatever the number
of lists it stands in, and a further candidate costs one token, not |context| + |item| (after PreTTR, MacAvaney et al.
2020). What an item's first token takes from its own tokens does not depend on the context either: it is kept as one
vector and the logarithm of its softmax mass, and merged with what it takes from the context.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils import logging

from ranking.batches import Batch, Examples
from ranking.heads import ScoreHeads


class ReadContexts(NamedTuple):
    """Contexts as the last layer looks at them."""

    keys: Tensor
    """``[requests, tokens, heads, head width]``."""
    values: Tensor
    """``[requests, tokens, heads, head width]``."""
    mask: Tensor
    """``[requests, tokens]``, 0 at padding."""


class ReadItems(NamedTuple):
    """Items as they look at contexts; any leading shape."""

    state: Tensor
    """``[..., hidden]``: the first token's, before the last layer."""
    query: Tensor
    """``[..., heads, head width]``: what it asks."""
    own: Tensor
    """``[..., heads, head width]``: what it takes from its own item."""
    mass: Tensor
    """``[..., heads]``: log of the sum of exponentials behind ``own``."""


class CrossEncoder(nn.Module):
    """Lowest layers of a BERT-like encoder, numeric features joined in, and one score head per intent."""

    def __init__(self, encoder: PreTrainedModel, features: int, width: int, dropout: float) -> None:
        """Join the parts.

        Args:
            encoder: BERT-like; its last layer becomes the one in which items look at contexts.
            features: number of numeric features per candidate.
            width: of the layer in which text and features meet.
            dropout: on that layer, while training.
        """
        super().__init__()
        blocks: Any = encoder.encoder
        self.meeting: Any = blocks.layer[-1]
        blocks.layer = blocks.layer[:-1]
        self.encoder = encoder
        self.heads = ScoreHeads(encoder.config.hidden_size, features, width, dropout)

    def forward(
        self,
        context_ids: Tensor,
        context_mask: Tensor,
        item_ids: Tensor,
        item_mask: Tensor,
        features: Tensor,
        intent: Tensor,
    ) -> Tensor:
        """Score the candidates of one request: the form that is exported.

        Args:
            context_ids: ``[1, tokens]``, int64.
            context_mask: ``[1, tokens]``, int64, 0 at padding.
            item_ids: ``[candidates, tokens]``, int64, padded at the end.
            item_mask: ``[candidates, tokens]``, int64, 0 at padding.
            features: ``[candidates, features]``, as ``commerce.state.candidate_features`` gives them.
            intent: ``[1, 3]``, probabilities in the order of ``INTENTS``.

        Returns: ``[candidates]`` float32, higher is better; comparable within a request only.
        """
        items = ReadItems(*(part[None] for part in self.read_items(item_ids, item_mask)))
        return self.score(self.read_contexts(context_ids, context_mask), items, features[None], intent)[0]

    def lists(self, batch: Batch) -> Tensor:
        """Return the scores of lists, ``[lists, length]`` float32; what stands past a list's end is arbitrary."""
        contexts = self.read_contexts(batch.context_ids, batch.context_mask)
        items = self.read_items(batch.item_ids, batch.item_mask)
        listed = ReadItems(*(_listed(part, batch.places) for part in items))
        return self.score(contexts, listed, batch.features, batch.intent)

    @property
    def words(self) -> nn.Embedding:
        """Table of word vectors, ``[vocabulary, hidden]``."""
        table: nn.Embedding = self.encoder.get_input_embeddings()  # type: ignore[assignment]
        return table

    @staticmethod
    def training_tokens(examples: Examples) -> NDArray[np.int64]:
        """Return the tokens of each request's context and candidates together, ``[requests]``."""
        lengths: NDArray[np.int64] = examples.contexts.lengths + examples.of_items
        return lengths

    @staticmethod
    def reading_tokens(requests: float, context: float, candidates: float, item: float, items: float) -> float:
        """Return the tokens that scoring reads: each context and each item once, and one token a candidate.

        Args:
            requests: how many.
            context: mean tokens of a context.
            candidates: in all lists together.
            item: mean tokens of an item.
            items: distinct ones.
        """
        return requests * context + min(items, candidates) * item + candidates

    def score(self, contexts: ReadContexts, items: ReadItems, features: Tensor, intent: Tensor) -> Tensor:
        """Score lists.

        Args:
            contexts: of each list.
            items: leading shape ``[lists, length]``.
            features: ``[lists, length, features]``.
            intent: ``[lists, 3]``.

        Returns: ``[lists, length]`` float32; what stands past a list's end is arbitrary.
        """
        taken, mass = attend(items.query, *contexts)
        # Two softmaxes over parts of the tokens make one over all, in proportion to their masses.
        share = torch.sigmoid(items.mass - mass)[..., None].to(taken.dtype)
        states = self._finish(share * items.own + (1 - share) * taken, items.state)
        scores: Tensor = self.heads(states, features, intent[:, None])
        return scores

    def read_contexts(self, ids: Tensor, mask: Tensor) -> ReadContexts:
        """Read contexts, ``[requests, tokens]`` int64 each, padded at the end."""
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        look = self.meeting.attention.self
        return ReadContexts(self._split(look.key(states)), self._split(look.value(states)), mask)

    def read_items(self, ids: Tensor, mask: Tensor) -> ReadItems:
        """Read item texts, ``[items, tokens]`` int64 each, padded at the end."""
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        look = self.meeting.attention.self
        query = self._split(look.query(states[:, 0]))
        own, mass = attend(query[:, None], self._split(look.key(states)), self._split(look.value(states)), mask)
        return ReadItems(states[:, 0], query, own[:, 0], mass[:, 0])

    def _split(self, states: Tensor) -> Tensor:
        """Return ``[..., hidden]`` as ``[..., heads, head width]``."""
        return states.reshape(*states.shape[:-1], self.encoder.config.num_attention_heads, -1)

    def _finish(self, taken: Tensor, state: Tensor) -> Tensor:
        """Return the last layer's output, ``[..., hidden]``, for what attention took."""
        attended = self.meeting.attention.output(taken.flatten(-2), state)
        finished: Tensor = self.meeting.feed_forward_chunk(attended)
        return finished


def attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return what each query takes from its row's tokens, and the log of the mass it gave them.

    Args:
        query: ``[rows, queries, heads, head width]``.
        keys: ``[rows, tokens, heads, head width]``.
        values: ``[rows, tokens, heads, head width]``.
        mask: ``[rows, tokens]``, 0 at padding; every row has a token.

    Returns: ``[rows, queries, heads, head width]`` and ``[rows, queries, heads]``, the latter float32.
    """
    fit = torch.einsum("rqhd,rthd->rqht", query, keys).float() * query.shape[-1] ** -0.5
    fit = fit.masked_fill(mask[:, None, None, :] == 0, float("-inf"))
    taken = torch.einsum("rqht,rthd->rqhd", torch.softmax(fit, dim=-1).to(values.dtype), values)
    return taken, torch.logsumexp(fit, dim=-1)


def _listed(part: Tensor, places: Tensor) -> Tensor:
    """Return ``part[places]``, whose gradient is summed in a fixed order.

    Indexing itself sums the gradients of an item that stands in several lists in whatever order the threads come, so
    that two trainings from one seed would part.
    """
    return part.index_select(0, places.flatten()).reshape(*places.shape, *part.shape[1:])


def lowest_layers(folder: str, layers: int, tokens: int, kinds: Sequence[str] = ("bert",)) -> PreTrainedModel:
    """Load the lowest ``layers`` blocks of the encoder in ``folder``, with its weights.

    Args:
        folder: of a transformers encoder.
        layers: blocks that are kept.
        tokens: of the longest text that will be read.
        kinds: of encoders whose layers the caller can take apart.

    Raises:
        ValueError: if it has fewer blocks, too few positions for ``tokens``, or is of another kind.
    """
    config = AutoConfig.from_pretrained(folder)
    if config.model_type not in kinds:
        raise ValueError(
            f"the encoder in {folder} is a {config.model_type!r} model, but the cross-encoder takes the layers of a "
            f"{' or '.join(map(repr, kinds))} model apart; set ranking.encoder to one"
        )
    if not 1 <= layers <= config.num_hidden_layers:
        raise ValueError(
            f"ranking.layers={layers}, but the encoder in {folder} has {config.num_hidden_layers} layers; choose 1 to "
            f"{config.num_hidden_layers}"
        )
    if tokens > config.max_position_embeddings:
        raise ValueError(
            f"ranking.context_tokens, ranking.item_tokens or (attention=full) their sum is {tokens}, but "
            f"the encoder in {folder} knows "
            f"{config.max_position_embeddings} positions; lower it"
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
