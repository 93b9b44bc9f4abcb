"""The intent head: what the user is about (browse, compare, buy), read linearly off the user tower's state."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from commerce.columns import INTENTS


class IntentHead(nn.Module):
    """A multinomial logistic regression on states, with a temperature fitted on users it was not trained on."""

    mean: Tensor
    deviation: Tensor
    temperature: Tensor
    known: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, len(INTENTS))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("deviation", torch.ones(dim))
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("known", torch.zeros((), dtype=torch.bool))
        """Whether it was trained; before, it answers with equal chances."""
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, states: Tensor) -> Tensor:
        """Return the chances of each intent, ``[batch, 3]``, of states ``[batch, dim]``."""
        return torch.softmax(self.scores(states) / self.temperature, dim=1)

    def scores(self, states: Tensor) -> Tensor:
        """Return scores before the temperature, ``[batch, 3]``."""
        scores: Tensor = self.linear((states - self.mean) / self.deviation)
        return scores


def fit_intents(head: IntentHead, states: Tensor, labels: Tensor, decay: float = 1e-3) -> None:
    """Fit the linear part by L-BFGS: cross-entropy plus half ``decay`` times the squared weights.

    Args:
        head: changed in place.
        states: ``[moments, dim]``, the tower's states, which stay as they are.
        labels: ``[moments]`` int64, codes of ``INTENTS``.
        decay: strength of the pull towards equal chances.
    """
    head.requires_grad_(True)
    head.mean.copy_(states.mean(dim=0))
    head.deviation.copy_(states.std(dim=0).clamp(min=1e-4))

    def loss() -> Tensor:
        return F.cross_entropy(head.scores(states), labels) + decay / 2 * head.linear.weight.square().sum()

    _minimise(list(head.linear.parameters()), loss)
    head.known.fill_(True)


def fit_temperature(head: IntentHead, states: Tensor, labels: Tensor) -> None:
    """Fit the temperature on held-out moments: the one number that makes its chances honest (Guo et al. 2017)."""
    with torch.no_grad():
        scores = head.scores(states)
    log_temperature = nn.Parameter(torch.zeros(()))
    _minimise([log_temperature], lambda: F.cross_entropy(scores / log_temperature.exp(), labels))
    head.temperature.copy_(log_temperature.detach().exp().clamp(0.05, 20.0))


def _minimise(parameters: list[nn.Parameter], loss: Callable[[], Tensor]) -> None:
    optimizer = torch.optim.LBFGS(parameters, max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[arg-type, no-untyped-call]
