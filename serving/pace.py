"""How long the steps of a request take, and which of them the request's time still allows.

A runtime remembers what each step took lately. A request with a budget asks before every step that it can do without
whether the time left covers that step and those that must follow, so that it ends before its time does rather than
when it notices that the time is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil

Clock = Callable[[], float]
"""Seconds from any beginning, rising."""

STATE, TERMS, USER, BLEND, FEATURES, RERANK, FIELDS = (
    "state", "search terms", "user and intent", "blend", "rerank features", "rerank", "fields"
)  # fmt: skip
_MUST_FOLLOW = (BLEND, FIELDS)
"""Steps without which there is no answer; their time is kept back."""
_KEPT = 32
_QUANTILE = 0.9
"""Of the remembered times: an estimate that is seldom too low, and that one busy moment does not decide."""


def source_step(name: str) -> str:
    """Return the step in which a candidate source is asked."""
    return f"source {name}"


class Costs:
    """Seconds that each step took the last few times. Threads may share it: what is remembered is replaced whole."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[float, ...]] = {}
        self._loading: set[str] = set()

    def note(self, step: str, seconds: float) -> None:
        """Remember a time. A step's first one is of loading graphs and mapping files: it goes once there is another."""
        before = self._taken.get(step, ())
        if not before:
            self._loading.add(step)
        elif step in self._loading:
            self._loading.discard(step)
            before = ()
        self._taken[step] = (*before, seconds)[-_KEPT:]

    def of(self, *steps: str) -> float:
        """Return the seconds that some steps will take together; a step that was never taken counts nothing."""
        return sum(_quantile(self._taken[step]) for step in steps if step in self._taken)


class Pace:
    """One request on its way through its steps."""

    def __init__(self, costs: Costs, clock: Clock, budget_ms: float | None = None, *, sliced: bool = False) -> None:
        """Start the clock.

        Args:
            costs: of the runtime; learns.
            clock: that all is measured by.
            budget_ms: milliseconds until the answer must be there; None: as long as it takes.
            sliced: whether the reranker reads in slices even where the time allows all at once, to measure them.
        """
        self.costs, self.sliced = costs, sliced
        self._clock = clock
        self._end = None if budget_ms is None else clock() + budget_ms / 1000
        self._inside = 0.0
        self.seconds: dict[str, float] = {}
        """What each step took, without the steps inside it, in the order in which they ended."""
        self.cut_short = ""
        """The first step that was left out or not finished, and how far it came; empty while none was."""

    @contextmanager
    def step(self, name: str, measured_as: str = "") -> Iterator[None]:
        """Time a step.

        Args:
            name: under which it is told.
            measured_as: under which its cost is remembered, where that is another.
        """
        outside, self._inside = self._inside, 0.0
        started = self._clock()
        yield
        whole = self._clock() - started
        own = whole - self._inside
        self._inside = outside + whole
        self.seconds[name] = self.seconds.get(name, 0.0) + own
        self.costs.note(measured_as or name, own)

    def affords(self, *steps: str) -> bool:
        """Return whether the time left covers these steps and those that must follow."""
        return self._end is None or self._clock() + self.costs.of(*steps, *_MUST_FOLLOW) <= self._end

    def cut(self, where: str) -> None:
        """Remember where the time ran out, the first time."""
        self.cut_short = self.cut_short or where


def _quantile(taken: tuple[float, ...]) -> float:
    return sorted(taken)[ceil(_QUANTILE * len(taken)) - 1]
