"""The user tower: profile features and events -> a state after every event, and a unit vector.

A causal transformer (SASRec, Kang and McAuley 2018, with pre-norm blocks). Rows are padded on the right, so no valid
position ever sees padding and no mask is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from commerce.columns import ACTION_CODES, ACTIONS
from learning.dropout import ByteDropout
from towers.relative_time import TimeBias

_SEARCH = ACTION_CODES["search"] + 1
"""A search among the tower's action codes, of which 0 is padding."""
_GAP_SCALE = 8.0
"""log(1 + hours) of four months: gaps are brought to about 1."""


class Block(nn.Module):
    """One pre-norm transformer block with causal attention."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(dim)
        self.attention_in = nn.Linear(dim, 3 * dim)
        self.attention_out = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.wide = nn.Linear(dim, 4 * dim)
        self.narrow = nn.Linear(4 * dim, dim)
        self.dropout = ByteDropout(dropout)

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Return the next states, ``[batch, length, dim]``.

        Args:
            x: ``[batch, length, dim]``.
            bias: ``[batch, heads, length, length]`` for the attention scores, minus infinity for later places; None:
                causal without any.
        """
        batch, length, dim = x.shape
        joined = self.attention_in(self.attention_norm(x)).view(batch, length, 3, self.heads, dim // self.heads)
        query, key, value = joined.permute(2, 0, 3, 1, 4)
        mask = None if bias is None else bias.to(query.dtype)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        x = x + self.dropout(self.attention_out(seen.transpose(1, 2).reshape(batch, length, dim)))
        out: Tensor = x + self.dropout(self.narrow(self.dropout(F.gelu(self.wide(self.norm(x))))))
        return out


class UserTower(nn.Module):
    """Reads (profile, event 1, event 2, ...) and places the user after each of them."""

    gap_scale: Tensor

    def __init__(
        self,
        *,
        text_dim: int,
        categories: Sequence[int],
        numbers: int,
        dim: int,
        layers: int,
        heads: int,
        length: int,
        dropout: float,
        behaviour: bool = True,
        searches: bool = True,
        relative_time: bool = True,
    ) -> None:
        """Build the tower.

        Args:
            text_dim: width of the query texts' vectors.
            categories: number of values of each categorical user feature, 0 (missing or unknown) included.
            numbers: number of numeric user features.
            dim: width of item vectors, states and user vectors.
            layers: blocks.
            heads: attention heads of a block.
            length: events at most.
            dropout: share dropped in training.
            behaviour: whether it reads what users did with items.
            searches: whether it reads what they searched for.
            relative_time: whether attention is told the time between two events.
        """
        super().__init__()
        self.length = length
        self.behaviour, self.searches = behaviour, searches
        self.start = nn.Parameter(torch.zeros(dim))
        self.categorical = nn.ModuleList(nn.Embedding(count, dim, padding_idx=0) for count in categories)
        self.numeric = nn.Linear(2 * numbers, dim, bias=False) if numbers else None
        self.item = nn.Linear(dim, dim)
        self.query = nn.Linear(text_dim, dim, bias=False)
        self.action = nn.Embedding(len(ACTIONS) + 1, dim, padding_idx=0)
        self.gap = nn.Linear(2, dim, bias=False)
        # Kept beside the weights, which mean nothing without it.
        self.register_buffer("gap_scale", torch.tensor(_GAP_SCALE))
        self.position = nn.Embedding(length + 1, dim)
        self.time = TimeBias(layers, heads) if relative_time else None
        self.dropout = ByteDropout(dropout)
        self.blocks = nn.ModuleList(Block(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, dim)
        # An untrained tower answers "something like what was just seen": a far better start than a random map between
        # item vectors and states. On a leave-last-out log of 131k positions, NDCG@10 after two epochs was .034
        # instead of .021.
        for same in (self.item, self.out):
            torch.nn.init.eye_(same.weight)
            torch.nn.init.zeros_(same.bias)
        # As small as the other tables. At PyTorch's own scale, and unscaled, a pause of days drowned the item it came
        # before: NDCG@10 on the bazaar (half of it, encoder frozen) was .245 instead of .415.
        torch.nn.init.normal_(self.gap.weight, std=0.02)
        for table in (*self.categorical, self.action, self.position):
            assert isinstance(table, nn.Embedding)
            with torch.no_grad():
                table.weight.normal_(std=0.02)
                if table.padding_idx is not None:
                    table.weight[0].zero_()

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
    ) -> tuple[Tensor, Tensor]:
        """Return each user's vector and state after the last event.

        Args:
            event_vectors: ``[batch, length, dim]``, the item tower's vectors, zeros for searches and padding.
            query_vectors: ``[batch, length, text_dim]``, zeros for events without search terms.
            action: ``[batch, length]`` int64, action code + 1, 0 for padding.
            gap: ``[batch, length]``, log(1 + hours) since the event before.
            count: ``[batch]`` int64, events in the row; 0 for a user without any.
            categorical: ``[batch, categories]`` int64.
            numeric: ``[batch, numbers]``, 0 where missing.
            numeric_mask: ``[batch, numbers]``, 1 where known.

        Returns: ``(vectors, states)``, ``[batch, dim]`` each; the vectors have unit length.
        """
        states = self.states(event_vectors, self.query(query_vectors), action, gap, categorical, numeric, numeric_mask)
        last = states.gather(1, count[:, None, None].expand(-1, 1, states.shape[2])).squeeze(1)
        return self.vectors(last), last

    def states(
        self,
        event_vectors: Tensor,
        queries: Tensor,
        action: Tensor,
        gap: Tensor,
        categorical: Tensor,
        numeric: Tensor,
        numeric_mask: Tensor,
    ) -> Tensor:
        """Return the state after each number of events, ``[batch, length + 1, dim]``; state 0 knows the profile only.

        ``queries`` are query vectors as ``self.query`` projects them, ``[batch, length, dim]``; the rest as in
        ``forward``.
        """
        profile = self._profile(categorical, numeric, numeric_mask)
        event_vectors, queries, action, gap = self._heard(event_vectors, queries, action, gap)
        # Item vectors have unit length, so each of their numbers is small beside the other parts: bring it to size.
        items = self.item(event_vectors * event_vectors.shape[2] ** 0.5)
        known = (action > 0).unsqueeze(2).to(items.dtype)
        pause = gap / self.gap_scale
        events = items * known + queries + self.action(action) + self.gap(torch.stack([pause, pause.square()], dim=2))
        places = torch.arange(action.shape[1] + 1, device=action.device)
        # shape[0], for len() of a tensor is a constant to the exporter.
        start = (self.start + self.position(places[:1])).expand(action.shape[0], 1, -1)
        events = events + self.position(places[1:])
        x = self.dropout(torch.cat([profile, start, events], dim=1))
        biases = [None] * len(self.blocks) if self.time is None else self.time(gap, profile.shape[1] + 1)
        for block, bias in zip(self.blocks, biases, strict=True):
            x = block(x, bias)
        states: Tensor = self.norm(x[:, profile.shape[1] :])
        return states

    def vectors(self, states: Tensor) -> Tensor:
        """Return unit vectors, ``[..., dim]``, of states."""
        return F.normalize(self.out(states).float(), dim=-1)

    def _heard(
        self, event_vectors: Tensor, queries: Tensor, action: Tensor, gap: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Blank the events that the tower is not to read: their places stay, and with them only how many there were."""
        if self.behaviour and self.searches:
            return event_vectors, queries, action, gap
        kept = (action == _SEARCH) == self.searches if self.behaviour != self.searches else action < 0
        queries = queries * float(self.searches)
        return event_vectors * kept.unsqueeze(2).to(event_vectors.dtype), queries, action * kept, gap * kept

    def _profile(self, categorical: Tensor, numeric: Tensor, numeric_mask: Tensor) -> Tensor:
        """Return a token per feature kind, ``[batch, tokens, dim]``; no feature, no token."""
        tokens = [table(categorical[:, column]) for column, table in enumerate(self.categorical)]
        if self.numeric is not None:
            tokens.append(self.numeric(torch.cat([numeric * numeric_mask, numeric_mask], dim=1)))
        if not tokens:
            return self.start.new_zeros(categorical.shape[0], 0, self.start.shape[0])
        return torch.stack(tokens, dim=1)
