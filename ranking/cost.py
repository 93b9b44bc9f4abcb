"""What re-ranking will cost, said before it starts: tokens from the lists, speed from a few measured batches.

The fastest of them counts: what slows one down, another process say, will not be there for all of the work, and a run
must not be refused for a bad second.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from configs.errors import InputError
from learning.hardware import autocast
from ranking.batches import Examples, make_batch
from ranking.module import Ranker
from ranking.rerank import score_lists
from ranking.warm_up import fit_numbers

_MEASURED_BATCHES = 5
"""Batches timed of each kind, after one that warms up."""


@dataclass(frozen=True)
class Speed:
    """How fast this machine works."""

    reading: float
    """Tokens per second."""
    training: float
    """Tokens per second, steps of the optimiser included."""
    numbers: float = 0.0
    """Seconds of a step that fits the heads to the numeric features of all lists."""


@dataclass(frozen=True)
class Cost:
    """Tokens of each part of the work, and the minutes they take."""

    tokens: Mapping[str, int]
    """Part -> tokens; ``training`` counts every epoch."""
    speed: Speed
    number_steps: int = 0
    """Steps that fit the heads to the numeric features."""

    @property
    def minutes(self) -> float:
        """Of all parts together."""
        read = sum(count for part, count in self.tokens.items() if part != "training")
        training = self.tokens.get("training", 0) / self.speed.training + self.number_steps * self.speed.numbers
        return (training + read / self.speed.reading) / 60

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


def reading_tokens(ranker: Ranker, examples: Examples) -> int:
    """Return the tokens that scoring reads."""
    distinct = np.unique(examples.items)
    of_items = examples.item_tokens.lengths[distinct[distinct >= 0]]
    return round(
        ranker.cross_encoder.reading_tokens(
            len(examples),
            float(examples.contexts.lengths.mean()),
            int((examples.items >= 0).sum()),
            float(of_items.mean()) if len(of_items) else 0.0,
            len(of_items),
        )
    )


def measure_speed(
    ranker: Ranker,
    examples: Examples,
    gains: NDArray[np.float32],
    *,
    tokens_per_batch: int,
    batch_lists: int,
    precision: str,
) -> Speed:
    """Time a little reading, training and fitting of the numbers; the weights and the random state stay as they were.

    Args:
        ranker: on the device that will work.
        examples: some of the real lists.
        gains: theirs.
        tokens_per_batch: padded tokens in a batch, at most.
        batch_lists: lists in a training batch, at most.
        precision: ``auto``, ``fp32`` or ``bf16``.
    """
    fitting = max(1, tokens_per_batch // int(ranker.cross_encoder.training_tokens(examples).max()))
    size = min(batch_lists, fitting)
    starts = range(0, max(1, min(len(examples), size * (_MEASURED_BATCHES + 1)) - size + 1), size)
    batches = [np.arange(start, min(start + size, len(examples))) for start in starts]
    read = examples.of(np.arange(min(len(examples), fitting * (_MEASURED_BATCHES + 1))))
    with torch.random.fork_rng(devices=[]):
        training = _training_speed(ranker, examples, gains, batches, precision)
        reading = _reading_speed(ranker, read, tokens_per_batch, precision)
        numbers = _seconds_of_numbers(ranker, examples, gains)
    return Speed(reading, training, numbers)


def _reading_speed(ranker: Ranker, examples: Examples, tokens_per_batch: int, precision: str) -> float:
    best = 0.0
    for _ in range(_MEASURED_BATCHES):
        started = time.perf_counter()
        score_lists(ranker, examples, tokens_per_batch=tokens_per_batch, precision=precision)
        best = max(best, reading_tokens(ranker, examples) / (time.perf_counter() - started))
    return best


def _seconds_of_numbers(ranker: Ranker, examples: Examples, gains: NDArray[np.float32]) -> float:
    heads, best = copy.deepcopy(ranker.cross_encoder.heads).cpu(), math.inf
    for _ in range(2):
        started = time.perf_counter()
        fit_numbers(heads, examples, gains, steps=1, learning_rate=0.0, weight_decay=0.0, loss=ranker.hparams["loss"])
        best = min(best, time.perf_counter() - started)
    return best


def _training_speed(
    ranker: Ranker, examples: Examples, gains: NDArray[np.float32], batches: list[NDArray[np.int64]], precision: str
) -> float:
    ranker.train()
    device, best = ranker.device, 0.0
    # An optimiser's step costs as much as reading many tokens; taken on copies, it leaves the weights alone.
    copied = {weight: weight.detach().clone() for weight in ranker.parameters() if weight.requires_grad}
    optimizer = torch.optim.AdamW(copied.values(), lr=0.0)
    for number, rows in enumerate([batches[0], *batches]):
        tokens = int(ranker.cross_encoder.training_tokens(examples.of(rows)).sum())
        started = time.perf_counter()
        batch = make_batch(examples, rows, gains)
        with autocast(precision, device.type):
            loss = ranker.loss(type(batch)(*(part.to(device) for part in batch)))
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(ranker.parameters(), 1.0)
        for weight, own in copied.items():
            own.grad = weight.grad
        optimizer.step()
        ranker.zero_grad(set_to_none=True)
        loss.item()  # waits for an asynchronous device
        if number:  # the first one warmed up
            best = max(best, tokens / (time.perf_counter() - started))
    return best
