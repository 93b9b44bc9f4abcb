"""The intent head: what the user is about (browse, compare, buy), read off the user tower's state and numbers about the
session. The state is read linearly, for more would overfit; the numbers through a small hidden layer too, because what
one of them means hangs on others (views after a search are not views of a feed).

It is trained as if intents were equally frequent, so that a rare one is learned too, and calibrated on users it was not
trained on, which puts the frequencies back: its probabilities are honest, and the likeliest intent is the decision.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from commerce.columns import INTENTS

_HIDDEN = 16
_STEPS = 200
STATE_PRIORS = (45.0, 450.0, 4500.0)
"""Precisions of the weights on the state that are tried; the numbers' weights have the first. A state has many more
numbers than a few hundred labels can weigh, and many thousand labels can."""

Told = tuple[Tensor, Tensor, Tensor]
"""States ``[moments, dim]``, statistics ``[moments, statistics]`` and labels ``[moments]`` int64 of some moments."""


class IntentHead(nn.Module):
    """A softmax over a linear and a hidden part, with a temperature and biases fitted on held-out users."""

    mean: Tensor
    deviation: Tensor
    temperature: Tensor
    bias: Tensor
    known: Tensor

    def __init__(self, dim: int, statistics: int) -> None:
        """Build the head.

        Args:
            dim: width of the states.
            statistics: how many numbers are told about the session.
        """
        super().__init__()
        self.dim = dim
        self.linear = nn.Linear(dim + statistics, len(INTENTS))
        self.hidden = nn.Linear(statistics, _HIDDEN)
        self.out = nn.Linear(_HIDDEN, len(INTENTS), bias=False)
        self.register_buffer("mean", torch.zeros(dim + statistics))
        self.register_buffer("deviation", torch.ones(dim + statistics))
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("bias", torch.zeros(len(INTENTS)))
        """Added after the temperature: what the intents' frequencies say."""
        self.register_buffer("known", torch.zeros((), dtype=torch.bool))
        """Whether it was trained; before, it answers with equal chances."""
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        nn.init.zeros_(self.out.weight)

    def forward(self, states: Tensor, statistics: Tensor) -> Tensor:
        """Return the chances of each intent, ``[batch, 3]``.

        Args:
            states: ``[batch, dim]``, of the user tower.
            statistics: ``[batch, statistics]``, as ``commerce.session_statistics`` counts them.
        """
        return torch.softmax(self.scores(states, statistics) / self.temperature + self.bias, dim=1)

    def scores(self, states: Tensor, statistics: Tensor) -> Tensor:
        """Return balanced scores before temperature and biases, ``[batch, 3]``."""
        read = (torch.cat([states, statistics], dim=1) - self.mean) / self.deviation
        scores: Tensor = self.linear(read) + self.out(torch.tanh(self.hidden(read[:, self.dim :])))
        return scores


def fit_intents_by(head: IntentHead, train: Told, held_out: Told, *, seed: int = 0) -> float:
    """Fit and calibrate the head under each of ``STATE_PRIORS``; leave it with the one that held-out users speak for.

    One of three is chosen on the moments that temperature and biases are fitted on, by the same log-loss.

    Args:
        head: changed in place.
        train: what it learns from.
        held_out: moments of users that it does not learn from, on which it is calibrated.
        seed: of the hidden layer's first values.

    Returns: the precision chosen.
    """
    tried = []
    for prior in STATE_PRIORS:
        fit_intents(head, *train, state_prior=prior, seed=seed)
        tried.append((calibrate_intents(head, *held_out), prior, copy.deepcopy(head.state_dict())))
    loss = min(loss for loss, *_ in tried)
    # The weakest of equals: a prior that makes no difference is not needed.
    _, chosen, weights = next(one for one in tried if one[0] <= loss)
    head.load_state_dict(weights)
    return chosen


def fit_intents(
    head: IntentHead,
    states: Tensor,
    statistics: Tensor,
    labels: Tensor,
    *,
    state_prior: float = STATE_PRIORS[0],
    seed: int = 0,
) -> None:
    """Fit the head by L-BFGS: class-balanced cross-entropy, its weights drawn to zero by a prior.

    The biases become the log shares of the labels, which undoes the balancing (Saerens et al. 2002) until calibration
    fits them anew.

    Args:
        head: changed in place.
        states: ``[moments, dim]``, the tower's states, which stay as they are.
        statistics: ``[moments, statistics]``.
        labels: ``[moments]`` int64, codes of ``INTENTS``.
        state_prior: precision of the weights on the state, a Gaussian prior: the fewer moments there are, the more it
            says. The other weights have the first of ``STATE_PRIORS``.
        seed: of the hidden layer's first values.
    """
    head.requires_grad_(True)
    with torch.no_grad():
        draws = torch.randn(head.hidden.weight.shape, generator=torch.Generator().manual_seed(seed))
        head.hidden.weight.copy_(draws / max(1, statistics.shape[1]) ** 0.5)
        head.hidden.bias.zero_()
    read = torch.cat([states, statistics], dim=1)
    head.mean.copy_(read.mean(dim=0))
    # A number that never varied in training says nothing: divided by so much it stays silent if it varies later.
    deviation = read.std(dim=0)
    head.deviation.copy_(torch.where(deviation < 1e-4, torch.tensor(1e4), deviation))
    counts = torch.bincount(labels, minlength=len(INTENTS)).float()
    weight = torch.where(counts > 0, len(labels) / (counts > 0).sum() / counts.clamp(min=1), 0.0)

    def loss() -> Tensor:
        fit = F.cross_entropy(head.scores(states, statistics), labels, weight=weight)
        squares = head.linear.weight.square().sum(dim=0)
        of_states, of_numbers = squares[: head.dim].sum(), squares[head.dim :].sum()
        of_numbers = of_numbers + head.hidden.weight.square().sum() + head.out.weight.square().sum()
        return fit + (state_prior * of_states + STATE_PRIORS[0] * of_numbers) / len(labels) / 2

    _minimise(list(head.parameters()), loss)
    head.temperature.fill_(1.0)
    head.bias.copy_(_centred(((counts + 1) / (counts + 1).sum()).log()))
    head.known.fill_(True)


def calibrate_intents(head: IntentHead, states: Tensor, statistics: Tensor, labels: Tensor) -> float:
    """Fit temperature and biases on held-out moments: the four numbers that make its chances honest.

    Bias-corrected temperature scaling (Guo et al. 2017, Alexandari et al. 2020). Arguments as ``fit_intents``.

    Returns: the log-loss on these moments, in nats.
    """
    with torch.no_grad():
        scores = head.scores(states, statistics)
    log_temperature, bias = nn.Parameter(torch.zeros(())), nn.Parameter(head.bias.clone())

    def loss() -> Tensor:
        # As if one moment of each intent were among them, so that one that never came keeps a finite bias.
        fit = F.cross_entropy(scores / log_temperature.exp() + bias, labels, reduction="sum")
        return (fit - F.log_softmax(bias, dim=0).sum()) / len(labels)

    _minimise([log_temperature, bias], loss)
    head.temperature.copy_(log_temperature.detach().exp().clamp(0.05, 20.0))
    head.bias.copy_(_centred(bias.detach()))
    with torch.no_grad():
        return float(F.cross_entropy(scores / head.temperature + head.bias, labels))


def _centred(bias: Tensor) -> Tensor:
    return bias - bias.mean()


def _minimise(parameters: list[nn.Parameter], loss: Callable[[], Tensor]) -> None:
    optimizer = torch.optim.LBFGS(parameters, max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[arg-type, no-untyped-call]
