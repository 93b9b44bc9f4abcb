"""May a candidate take the champion's place: is it not worse, in all and in each guarded segment?

Not worse is shown, not assumed: the lower end of the paired interval over users of (candidate - champion) has to lie
above minus a margin, a share of what the champion reaches (a test of non-inferiority; Wellek 2010, Testing Statistical
Hypotheses of Equivalence and Noninferiority, chapter 3). Too few users to tell keep the champion. All parts have to
pass, each at the full confidence: an intersection-union test needs no correction for their number (Berger 1982).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from commerce.differences import ALL
from commerce.intervals import Interval, paired
from configs.errors import InputError
from pipeline.registry.evidence import PROTOCOL, Evidence

FORMAT = 1
"""Version of ``gate.json``, which a promotion's run holds."""


@dataclass(frozen=True)
class Judged:
    """One measure in one part of the requests."""

    segment: str
    metric: str
    requests: int
    users: int
    champion: float
    candidate: float
    difference: Interval
    """Of candidate - champion."""
    margin: float
    """By how much the candidate may be lower."""

    @property
    def passed(self) -> bool:
        """Whether the candidate is shown to be not worse."""
        # A margin of 0 is met by equal answers.
        return self.difference.low >= -self.margin

    @property
    def verdict(self) -> str:
        """Say it in words."""
        if self.passed:
            return "not worse"
        return "worse" if self.difference.high < 0 else "cannot be told"

    def __str__(self) -> str:
        found = self.difference
        return (
            f"{self.metric} of {self.segment}: {self.verdict} ({self.champion:.4f} to {self.candidate:.4f}, "
            f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}], at least {-self.margin:+.4f} needed, "
            f"{self.users:,} users{self._more()})"
        )

    def _more(self) -> str:
        """Say how many users might tell, where more of them could: an interval narrows with the square root."""
        room, reach = self.difference.value + self.margin, self.difference.value - self.difference.low
        if self.passed or room <= 0:
            return ""
        return f"; about {math.ceil(self.users * (reach / room) ** 2):,} might tell"


@dataclass(frozen=True)
class Gate:
    """The answer and what it rests on."""

    judged: list[Judged]
    absent: list[str]
    """Guarded segments of which the window has no request, or nothing else."""
    confidence: float
    resamples: int
    seed: int

    @property
    def passed(self) -> bool:
        """Whether the candidate may take the champion's place."""
        return all(one.passed for one in self.judged)

    @property
    def reason(self) -> str:
        """Say why, in one sentence."""
        failed = [str(one) for one in self.judged if not one.passed]
        if failed:
            return "; ".join(failed)
        whole = next(one for one in self.judged if one.segment == ALL)
        segments = len({one.segment for one in self.judged}) - 1
        return f"{whole}, and in {segments} guarded segments"

    def as_dict(self) -> dict[str, Any]:
        """Return what ``gate.json`` holds."""
        rows = [{**asdict(one), "verdict": one.verdict} for one in self.judged]
        terms = {"confidence": self.confidence, "resamples": self.resamples, "seed": self.seed}
        return {"format": FORMAT, "passed": self.passed, **terms, "absent": self.absent, "parts": rows}


def judge(champion: Evidence, candidate: Evidence) -> Gate:
    """Compare two versions on the same requests, by what the candidate was registered to be guarded by.

    Raises:
        InputError: if they were not measured on the same requests under the same protocol; says what differs.
    """
    apart = differences(champion, candidate)
    if apart:
        raise InputError(f"champion and candidate cannot be compared: {'; '.join(apart)}")
    guard, intervals = candidate.terms["guard"], candidate.terms["intervals"]
    present = [name for name in guard["segments"] if name in candidate.parts]
    judged = [
        _judge(champion, candidate, segment, metric, guard["margin"] if segment == ALL else guard["segment_margin"])
        for segment in (ALL, *present)
        for metric in guard["metrics"]
    ]
    absent = [name for name in guard["segments"] if name not in candidate.parts]
    return Gate(judged, absent, intervals["confidence"], intervals["resamples"], candidate.terms["seed"])


def differences(champion: Evidence, candidate: Evidence) -> list[str]:
    """Return what sets two measurements apart, each a phrase; nothing where they may be compared."""
    one, other = champion.terms, candidate.terms
    found = [f"{name} {_told(one[name])} against {_told(other[name])}" for name in PROTOCOL if one[name] != other[name]]
    if one["key_check"] != other["key_check"]:
        # Under two keys no request would be recognised, whatever they are.
        return [*found, "their ids were hashed with different keys; register both with the same key in the environment"]
    found += _other_requests(champion, candidate)
    missing = [name for name in other["guard"]["metrics"] if name not in one["guard"]["metrics"]]
    if missing:
        found.append(f"the champion was registered without {', '.join(missing)}; register it again")
    lacking = [name for name in other["guard"]["segments"] if name in candidate.parts and name not in champion.parts]
    if lacking:
        found.append(f"the champion was registered without the segments {', '.join(lacking)}; register it again")
    return found


def _other_requests(champion: Evidence, candidate: Evidence) -> list[str]:
    only_champion = len(np.setdiff1d(champion.request, candidate.request))
    only_candidate = len(np.setdiff1d(candidate.request, champion.request))
    if only_champion or only_candidate:
        return [f"{only_champion:,} requests only in the champion's and {only_candidate:,} only in the candidate's"]
    other = int((champion.relevant != candidate.relevant).sum())
    return [f"{other:,} requests with other relevant items or gains"] if other else []


def _judge(champion: Evidence, candidate: Evidence, segment: str, metric: str, margin: float) -> Judged:
    """Compare one measure; both list the same requests in ascending order, so rows mean the same in both.

    Raises:
        InputError: if the segment holds other requests.
    """
    one, other = champion.parts[segment], candidate.parts[segment]
    by_row = np.argsort(one.rows), np.argsort(other.rows)
    rows = one.rows[by_row[0]]
    if not np.array_equal(rows, other.rows[by_row[1]]):
        raise InputError(
            f"champion and candidate cannot be compared: the segment {segment} holds {len(one.rows):,} requests of the "
            f"champion's and {len(other.rows):,} of the candidate's, and not the same ones"
        )
    before, after = one.measures[metric][by_row[0]], other.measures[metric][by_row[1]]
    users, terms = candidate.user[rows], candidate.terms
    interval = paired(
        after,
        before,
        users,
        resamples=terms["intervals"]["resamples"],
        confidence=terms["intervals"]["confidence"],
        seed=terms["seed"],
    )
    reached = float(before.mean())
    return Judged(
        segment,
        metric,
        requests=len(rows),
        users=len(np.unique(users)),
        champion=reached,
        candidate=float(after.mean()),
        difference=interval,
        margin=margin * reached,
    )


def _told(fact: Any) -> str:
    if isinstance(fact, dict):
        return "(" + ", ".join(f"{name} {value}" for name, value in fact.items()) + ")"
    return str(fact)
