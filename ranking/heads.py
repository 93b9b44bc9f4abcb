"""From what was read of a candidate to its score."""

from __future__ import annotations

import torch
from torch import Tensor, nn

INTENT_HEADS = 3


class ScoreHeads(nn.Module):
    """Joins text state and numeric features in a hidden layer; one head per intent, mixed by the probabilities."""

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, hidden: int, features: int, width: int, dropout: float) -> None:
        """Build the heads.

        Args:
            hidden: width of a text state.
            features: number of numeric features per candidate.
            width: of the layer in which text and features meet.
            dropout: on that layer, while training.
        """
        super().__init__()
        self.text = nn.Linear(hidden, width)
        # Silent at first: the numbers are fitted before the texts join, and what they learned is not shaken.
        nn.init.zeros_(self.text.weight)
        self.numbers = nn.Linear(features, width)
        self.dropout = nn.Dropout(dropout)
        self.by_intent = nn.Linear(width, INTENT_HEADS)
        # Straight from the features as well: a good single feature needs no hidden layer, and few lists teach it.
        self.direct = nn.Linear(features, INTENT_HEADS, bias=False)
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_scale", torch.ones(features))

    def standardise(self, mean: Tensor, spread: Tensor) -> None:
        """Take mean and standard deviation of the numeric features over all candidates, ``[features]`` each."""
        self.feature_mean.copy_(mean)
        # A feature that never varied in training says nothing: a huge scale keeps it at zero for ever.
        self.feature_scale.copy_(torch.where(spread > 1e-6, spread, torch.full_like(spread, 1e12)))

    def forward(self, text: Tensor | None, features: Tensor, intent: Tensor) -> Tensor:
        """Return the score of each candidate from its text state, its numbers and the intent, float32 ``[...]``.

        Args:
            text: ``[..., hidden]``; None leaves the texts out.
            features: ``[..., features]``.
            intent: ``[..., 3]``, probabilities in the order of ``INTENTS``.
        """
        standard = ((features - self.feature_mean) / self.feature_scale).clamp(-8.0, 8.0)
        joined = self.numbers(standard) if text is None else self.numbers(standard) + self.text(text)
        hidden = self.dropout(nn.functional.gelu(joined))
        by_intent = self.by_intent(hidden) + self.direct(standard)
        mixed: Tensor = (by_intent.float() * intent).sum(dim=-1)
        return mixed


class PairHead(nn.Module):
    """One number out of a pair's text state, nothing beside it: BERT's pooler and a linear layer.

    The head of ``BertForSequenceClassification`` with a single label, so that published cross-encoders fit in.
    """

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, 1)

    def forward(self, text: Tensor) -> Tensor:
        """Return the score of each pair, a logit, ``[...]`` for states ``[..., hidden]``."""
        scores: Tensor = self.out(self.dropout(torch.tanh(self.dense(text)))).squeeze(-1)
        return scores
