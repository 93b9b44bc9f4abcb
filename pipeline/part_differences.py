"""How two ways to run one shop differ, over several seeds at once: in what they rank and what intents they foretell."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_INTENT
from commerce.differences import ALL, Difference, find_differences
from commerce.intervals import paired
from commerce.metrics import Found, Relevant, find
from commerce.records import Requests
from commerce.segments import Segment
from commerce.significance import randomisation_test, sums_by_user
from pipeline.asked import WINDOW, Evaluated
from pipeline.run_folder import RunFolder
from pipeline.segments import run_segments

INTENTS = "intents"
"""Stands for the intent head among the systems."""
_LEAST = 1e-7
"""Probabilities below count as this, as in ``commerce.intent_measures.log_loss``."""


@dataclass(frozen=True)
class Sampling:
    """How differences are told from luck."""

    resamples: int
    """Of users, behind the intervals."""
    draws: int
    """Of the randomisation test."""
    confidence: float
    seed: int


@dataclass(frozen=True)
class Measured:
    """A finished run of one seed."""

    run: Evaluated
    reranked: bool
    """Whether its gate let the reranker ship."""

    @classmethod
    def open(cls, run: RunFolder) -> Measured:
        """Read a run that has come to ``evaluate``."""
        gate = json.loads((run.stage("train-ranker") / "gate.json").read_text(encoding="utf-8"))
        return cls(Evaluated.open(run.root), bool(gate["shipped"]))

    def intents(self) -> tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.int32]]:
        """Return probabilities ``[moments, 3]``, labels and users of the requests that have a label."""
        run = RunFolder(self.run.root)
        whole = Requests.read(run.stage("prepare") / "requests.parquet").of(WINDOW)
        rows = np.searchsorted(whole.request_id, self.run.requests.request_id)
        labels = self.run.requests.intent
        known = labels != NO_INTENT
        chances = np.load(run.stage("embed") / f"intents_{WINDOW}.npy")[rows][known]
        return chances.astype(np.float64), labels[known], self.run.requests.user[known]


def measures(system: str, k: int) -> list[str]:
    """Return what a system is measured by, in the order of ``differences``."""
    return list(_OF_INTENTS) if system == INTENTS else [f"ndcg@{k}", f"recall@{k}"]


def differences(
    first: Sequence[Measured], second: Sequence[Measured], system: str, k: int, sampling: Sampling
) -> list[Difference]:
    """Measure a system of two ways to run, a run a seed each, with p-values as yet uncorrected.

    Requests of all seeds count together; a user is drawn with all that was asked for them under every seed.

    Args:
        first: in the order of seeds.
        second: on the same requests, seed by seed.
        system: ``towers``, ``mercato`` or ``intents``.
        k: cut-off.
        sampling: how luck is told.
    """
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.run.requests.request_id, other.run.requests.request_id), "parts change no request"
    if system == INTENTS:
        return _of_intents(first, second, sampling)
    without, told = (
        _joined([find(one.run.lists(system)[0], one.run.relevant) for one in runs]) for runs in (first, second)
    )
    return find_differences(
        without,
        told,
        np.concatenate([one.run.requests.user for one in second]),
        [("ndcg", k), ("recall", k)],
        joined_segments([run_segments(one.run) for one in second]),
        resamples=sampling.resamples,
        draws=sampling.draws,
        confidence=sampling.confidence,
        seed=sampling.seed,
    )


def joined_segments(of_seeds: Sequence[Sequence[Segment]]) -> list[Segment]:
    """Return the segments that every seed has, over the relevant items of all seeds end to end."""
    by_name = [{segment.name: segment for segment in segments} for segments in of_seeds]
    common = [segment for segment in of_seeds[0] if all(segment.name in names for names in by_name)]
    return [
        Segment(one.name, np.concatenate([names[one.name].keep for names in by_name]), one.of_items) for one in common
    ]


def _joined(found: Sequence[Found]) -> Found:
    """Lay the requests of several measurements end to end."""
    counts = np.concatenate([one.relevant.counts for one in found])
    relevant = Relevant(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.concatenate([one.relevant.items for one in found]),
        np.concatenate([one.relevant.gains for one in found]),
    )
    return Found(np.concatenate([one.ranks for one in found]), relevant)


def _log_likelihood(chances: NDArray[np.float64], labels: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return ln p(the intent that the session showed) of each moment, in nats."""
    likelihood: NDArray[np.float64] = np.log(np.clip(chances[np.arange(len(labels)), labels], _LEAST, 1.0))
    return likelihood


def _accuracy(chances: NDArray[np.float64], labels: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return whether the likeliest intent was the one shown, of each moment."""
    hits: NDArray[np.float64] = (chances.argmax(axis=1) == labels).astype(np.float64)
    return hits


_OF_INTENTS: dict[str, Callable[[NDArray[np.float64], NDArray[np.int8]], NDArray[np.float64]]] = {
    "log-likelihood": _log_likelihood,
    "accuracy": _accuracy,
}
"""Higher is better in both, as in the measures of rankings."""


def _of_intents(first: Sequence[Measured], second: Sequence[Measured], sampling: Sampling) -> list[Difference]:
    without, told = ([one.intents() for one in runs] for runs in (first, second))
    users = np.concatenate([user for *_, user in told])
    found = []
    for metric, value in _OF_INTENTS.items():
        one, other = (
            np.concatenate([value(chances, labels) for chances, labels, _ in side]) for side in (without, told)
        )
        interval = paired(
            other,
            one,
            users,
            resamples=sampling.resamples,
            confidence=sampling.confidence,
            seed=sampling.seed,
        )
        everybody = np.unique(users)
        sums = sums_by_user(other - one, users, everybody)
        p_value = randomisation_test(sums[:, None], draws=sampling.draws, seed=sampling.seed)[0]
        found.append(
            Difference(
                metric,
                ALL,
                len(users),
                len(everybody),
                float(one.mean()),
                float(other.mean()),
                interval,
                float(p_value),
            )
        )
    return found
