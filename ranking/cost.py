"""What re-ranking will cost, said before it starts: tokens from the lists, speed from a few measured batches."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from configs.errors import InputError
from learning.encode import token_batches
from ranking.batches import Examples, pack
from ranking.module import Ranker

_MEASURED_BATCHES = 3
"""Batches timed of each kind, after one that warms up."""


@dataclass(frozen=True)
class Speed:
    """Tokens per second on this machine."""

    reading: float
    training: float


@dataclass(frozen=True)
class Cost:
    """Tokens of each part of the work, and the minutes they take."""

    tokens: Mapping[str, int]
    """Part -> tokens; ``training`` counts every epoch."""
    speed: Speed

    @property
    def minutes(self) -> float:
        """Of all parts together."""
        read = sum(count for part, count in self.tokens.items() if part != "training")
        return (self.tokens.get("training", 0) / self.speed.training + read / self.speed.reading) / 60

    def line(self) -> str:
        """Return the announcement for a person."""
        parts = ", ".join(f"{part} {count:,}" for part, count in self.tokens.items())
        return (
            f"reranking will read {sum(self.tokens.values()):,} tokens ({parts}) at {self.speed.reading:,.0f} tokens/s "
            f"({self.speed.training:,.0f} in training): about {self.minutes:.1f} min"
        )

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``gate.json``."""
        return {
            "tokens": dict(self.tokens),
            "tokens_per_second": {"reading": round(self.speed.reading), "training": round(self.speed.training)},
            "expected_minutes": round(self.minutes, 2),
        }

    def check(self, max_minutes: float, settings: Mapping[str, int]) -> None:
        """Refuse work that would take longer than allowed.

        Args:
            max_minutes: ``ranking.max_minutes``.
            settings: those that decide the cost, as they stand, for the advice.

        Raises:
            InputError: above ``max_minutes``.
        """
        if self.minutes <= max_minutes:
            return
        now = ", ".join(f"ranking.{name}={value}" for name, value in settings.items())
        raise InputError(
            f"{self.line()}, but ranking.max_minutes={max_minutes:g} is allowed. Lower what costs ({now}; the time is "
            f"nearly proportional to depth and layers), raise ranking.max_minutes above {self.minutes:.0f}, or set "
            "ranking.enabled=false to ship the blended order"
        )


def measure_speed(ranker: Ranker, examples: Examples, *, tokens_per_batch: int, precision: str) -> Speed:
    """Time a few batches of reading and of training; the weights and the random state stay as they were.

    Args:
        ranker: on the device that will work.
        examples: some of the real lists; the batches are spread over their lengths.
        tokens_per_batch: padded tokens in a batch.
        precision: ``fp32`` or ``bf16``.
    """
    batches = list(token_batches(examples.lengths.tolist(), tokens_per_batch))
    places = np.linspace(0, len(batches) - 1, _MEASURED_BATCHES).round().astype(int)
    with torch.random.fork_rng(devices=[]):
        reading = _rate(ranker, examples, [batches[place] for place in places], precision, train=False)
        training = _rate(ranker, examples, [batches[place] for place in places], precision, train=True)
    ranker.zero_grad(set_to_none=True)
    return Speed(reading, training)


def _rate(ranker: Ranker, examples: Examples, batches: list[list[int]], precision: str, *, train: bool) -> float:
    ranker.train(train)
    device, tokens, started = ranker.device, 0, 0.0
    gains = (examples.items >= 0).astype(np.float32)
    for number, rows in enumerate([batches[0], *batches]):
        if number == 1:
            started = time.perf_counter()
        batch = pack(examples, np.array(rows), ranker.context_tokens, gains)
        batch = type(batch)(*(part.to(device) for part in batch))
        with (
            torch.set_grad_enabled(train),
            torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"),
        ):
            loss = ranker.loss(batch)
        if train:
            torch.autograd.backward(loss)
        loss.item()  # waits for an asynchronous device
        tokens += int(examples.lengths[rows].sum()) if number else 0
    return tokens / (time.perf_counter() - started)
