"""Reading pairs of texts together: every token of a pair looks at every other, and no padding is computed.

The tokens of all pairs lie end to end, so that linear layers, norms and activations, nearly all of the work, see real
tokens only; attention alone is laid out in rows, as long as the longest pair. Where a pair's state is its first token,
the last layer is computed for that token only: the others just give it their keys and values. Both change nothing but
the time (the test compares with transformers' own forward).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel

_FIRST_POSITION = {"bert": 0, "roberta": 1, "xlm-roberta": 1, "camembert": 1}
"""Kinds of encoders built of BERT's blocks -> position of the first token, counted from the padding token's id."""
KINDS = tuple(_FIRST_POSITION)
POOLINGS = ("cls", "mean")


class PackedPairs(NamedTuple):
    """Tokens of pairs, end to end."""

    ids: Tensor
    """``[tokens]`` int64."""
    types: Tensor
    """``[tokens]`` int64: 0 in the first text of a pair, 1 in the second."""
    lengths: Tensor
    """``[pairs]`` int64, each at least 1."""


class PairReader(nn.Module):
    """A BERT-like encoder as a reader of pairs."""

    def __init__(self, encoder: PreTrainedModel, pooling: str = "cls") -> None:
        """Take the encoder.

        Args:
            encoder: of a kind in ``_FIRST_POSITION``, at any number of layers.
            pooling: what a pair's state is: its first token's (``cls``) or the mean of all its tokens' (``mean``).

        Raises:
            ValueError: if the encoder is of another kind, or the pooling is unknown.
        """
        super().__init__()
        kind = encoder.config.model_type
        if kind not in _FIRST_POSITION:
            raise ValueError(
                f"a {kind!r} encoder was given, but full attention is computed for {', '.join(_FIRST_POSITION)}; set "
                "ranking.encoder to one of these"
            )
        if pooling not in POOLINGS:
            raise ValueError(f"pooling={pooling!r} is unknown; choose {' or '.join(POOLINGS)}")
        self.encoder, self.pooling = encoder, pooling
        first = _FIRST_POSITION[kind]
        self._first = first + int(encoder.config.pad_token_id or 0) if first else 0

    @property
    def width(self) -> int:
        """Width of a pair's state."""
        return int(self.encoder.config.hidden_size)

    def forward(self, pairs: PackedPairs) -> Tensor:
        """Return the state of each pair, ``[pairs, hidden]``."""
        starts = pairs.lengths.cumsum(0) - pairs.lengths
        row = torch.arange(len(pairs.lengths), device=starts.device).repeat_interleave(pairs.lengths)
        at = torch.arange(len(pairs.ids), device=starts.device) - starts[row]
        longest = int(pairs.lengths.max())
        even = len(pairs.ids) == len(pairs.lengths) * longest
        there = torch.arange(longest, device=starts.device) < pairs.lengths[:, None]
        rows = _Rows(len(pairs.lengths), longest, None if even else row * longest + at, None if even else there, starts)
        states = self._read(self._embed(pairs.ids, pairs.types, at), rows)
        if self.pooling == "cls":
            return states
        return states.new_zeros(len(starts), states.shape[1]).index_add(0, row, states) / pairs.lengths[:, None]

    def placed(self, ids: Tensor, types: Tensor, at: Tensor, place: Tensor, there: Tensor, starts: Tensor) -> Tensor:
        """Return the same where it is known already how tokens stand: packed pairs in the form that is exported.

        Args:
            ids: ``[tokens]`` int64.
            types: ``[tokens]`` int64.
            at: ``[tokens]`` int64, place within the pair.
            place: ``[tokens]`` int64, place in rows of equal length, laid end to end.
            there: ``[pairs, longest]`` bool, false at padding.
            starts: ``[pairs]`` int64, where each pair's first token is among the tokens.
        """
        return self._read(self._embed(ids, types, at), _Rows(there.shape[0], there.shape[1], place, there, starts))

    def padded(self, ids: Tensor, types: Tensor, mask: Tensor) -> Tensor:
        """Return the same for pairs that are padded anywhere: the form that is exported.

        Args:
            ids: ``[pairs, tokens]`` int64.
            types: ``[pairs, tokens]`` int64.
            mask: ``[pairs, tokens]`` int64, 0 at padding; the first token of a pair is none.
        """
        pairs, longest = ids.shape
        at = (mask.cumsum(dim=1) - 1).clamp(min=0)
        starts = torch.arange(pairs, device=ids.device) * longest
        rows = _Rows(pairs, longest, None, mask != 0, starts)
        states = self._read(self._embed(ids.flatten(), types.flatten(), at.flatten()), rows)
        if self.pooling == "cls":
            return states
        weights = mask[..., None].to(states.dtype)
        return (states.reshape(pairs, longest, -1) * weights).sum(dim=1) / weights.sum(dim=1)

    def _embed(self, ids: Tensor, types: Tensor, at: Tensor) -> Tensor:
        """Return the first layer's input, ``[tokens, hidden]``; ``at`` counts from 0 within each pair."""
        parts: Any = self.encoder.embeddings
        if self.encoder.config.type_vocab_size == 1:
            types = torch.zeros_like(types)
        embedded: Tensor = parts(
            input_ids=ids[None], token_type_ids=types[None], position_ids=(at + self._first)[None]
        )[0]
        return embedded

    def _read(self, states: Tensor, rows: _Rows) -> Tensor:
        """Return the last layer's states: of every token, or of each pair's first."""
        blocks: Any = self.encoder.encoder
        *lower, last = blocks.layer
        for layer in lower:
            states = self._layer(layer, states, states, rows)
        asking = states.index_select(0, rows.starts) if self.pooling == "cls" else states
        return self._layer(last, asking, states, rows)

    def _layer(self, layer: Any, asking: Tensor, states: Tensor, rows: _Rows) -> Tensor:
        """Return a layer's output for ``asking``: all of ``states``, or one for each pair."""
        look = layer.attention.self
        alone = asking is not states
        query = look.query(asking)
        query = query.unsqueeze(1) if alone else rows.lay(query)
        keys, values = rows.lay(look.key(states)), rows.lay(look.value(states))
        split = [_split(part, look.num_attention_heads) for part in (query, keys, values)]
        taken = scaled_dot_product_attention(
            split[0],
            split[1],
            split[2],
            attn_mask=None if rows.there is None else rows.there[:, None, None, :],
            dropout_p=look.dropout.p if look.training else 0.0,
        )
        taken = taken.transpose(1, 2).flatten(2)
        attended = layer.attention.output(taken[:, 0] if alone else rows.pack(taken), asking)
        finished: Tensor = layer.feed_forward_chunk(attended)
        return finished


@dataclass(frozen=True)
class _Rows:
    """How tokens that lie end to end are laid out in rows for attention, and back."""

    pairs: int
    longest: int
    place: Tensor | None
    """``[tokens]``: where each token stands in rows laid end to end; None: there already."""
    there: Tensor | None
    """``[pairs, longest]`` bool, false at padding; None: no padding."""
    starts: Tensor
    """``[pairs]``: place of each pair's first token among the tokens."""

    def lay(self, tokens: Tensor) -> Tensor:
        """Return ``[tokens, hidden]`` as ``[pairs, longest, hidden]``, zeros at padding."""
        if self.place is not None:
            empty = tokens.new_zeros(self.pairs * self.longest, tokens.shape[1])
            tokens = empty.index_copy(0, self.place, tokens)
        return tokens.reshape(self.pairs, self.longest, -1)

    def pack(self, rows: Tensor) -> Tensor:
        """Return ``[pairs, longest, hidden]`` as ``[tokens, hidden]``."""
        flat = rows.flatten(0, 1)
        return flat if self.place is None else flat.index_select(0, self.place)


def _split(rows: Tensor, heads: int) -> Tensor:
    """Return ``[pairs, tokens, hidden]`` as ``[pairs, heads, tokens, head width]``."""
    return rows.reshape(*rows.shape[:2], heads, -1).transpose(1, 2)
