"""Whether explanations name the true cause of purchases, on a finished run of the bazaar, where causes are known.

    python benchmarks/explanations/causes.py runs/bazaar

Cases are purchases of one window, drawn evenly at random among those whose session opened in that window. Each is
explained as of the session's first request: its user, its search terms, its moment, and the item that was bought. A
cause counts as named when the kind of reason it stands for is among the first three reasons for the item (``NAMED``).
Nothing that was known later enters: the bundle sees events strictly before the moment, and its counts are those before
the test window. Causes that no explanation can know (a sold place, a lucky place, fraud) are counted apart.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from commerce.columns import ACTION_CODES, NO_QUERY
from commerce.intervals import bootstrap
from commerce.records import Requests
from learning.hardware import machine
from serving.evidence import AGAIN, GOES_WITH, KINDS, QUERY, SHORTLIST, TASTE
from serving.explain import explain
from serving.reason_words import POPULAR
from serving.requests import Request
from serving.runtime import Runtime

NAMED = {"repeat": AGAIN, "comparison": SHORTLIST, "complement": GOES_WITH, "query": QUERY, "taste": TASTE}
"""Cause in the log -> the kind of reason that says so."""
FIRST = 3
"""Reasons that are read."""


@dataclass(frozen=True)
class Case:
    """One purchase and what was said of it."""

    user: int
    cause: str
    reasons: tuple[str, ...]
    """Kinds, the strongest first."""
    there: tuple[str, ...]
    """Kinds of evidence that there were, in no order of worth."""
    shown: bool

    def named(self, first: int = FIRST) -> bool:
        """Whether the cause is among the first reasons."""
        return NAMED.get(self.cause) in self.reasons[:first]


def main(arguments: Sequence[str] | None = None) -> None:
    """Explain purchases and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--window", default="test", choices=("validation", "test"))
    parser.add_argument("--cases", type=int, default=400, help="purchases explained, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the cases here")
    given = parser.parse_args(arguments)
    cases = explained(given.run, given.window, given.cases, given.seed)
    print(f"{given.run}, window {given.window}, seed {given.seed}; mercato {version('mercato')}; {machine()}")
    print("\n".join(told(cases, given.seed)))
    if given.json:
        given.json.write_text(json.dumps([vars(case) for case in cases], indent=1))


def explained(run: Path, window: str, cases: int, seed: int) -> list[Case]:
    """Draw purchases and explain them."""
    users, items, requests, rows, bought, causes = _purchases(run, window)
    chosen = np.sort(np.random.default_rng([seed, 0xCA5E]).permutation(len(rows))[:cases])
    queries = pq.read_table(run / "prepare" / "queries.parquet").sort_by("query")["text"].to_pylist()
    runtime = Runtime(run / "bundle")
    done = []
    for at in tqdm(chosen.tolist(), unit="case", file=sys.stderr):
        row = int(rows[at])
        user, query = int(requests.user[row]), int(requests.query[row])
        asked = Request(users[user], query="" if query == NO_QUERY else queries[query], time=int(requests.time[row]))
        found = explain(runtime, asked, items[int(bought[at])])
        there = tuple(sorted({reason.kind for reason in (*found.reasons, *found.against)}))
        done.append(Case(user, causes[at], tuple(reason.kind for reason in found.reasons), there, found.shown))
    return done


def _purchases(run: Path, window: str):  # type: ignore[no-untyped-def]
    """Return ids of users and items, the window's requests, and each purchase's request, item and cause."""
    ids = {
        name: pq.read_table(run / "ingest" / f"{name}_ids.parquet").sort_by("code")["id"].to_pylist()
        for name in ("user", "item")
    }
    requests = Requests.read(run / "prepare" / "requests.parquet").of(window)
    columns = ["user", "item", "action", "session", "cause"]
    events = pq.read_table(run / "ingest" / "events.parquet", columns=columns)
    keep = (events["action"].to_numpy() == ACTION_CODES["purchase"]) & ~np.asarray(events["cause"].is_null())
    events = events.filter(keep)
    first: dict[tuple[int, int], int] = {}
    for row in np.argsort(requests.time, kind="stable").tolist():
        first.setdefault((int(requests.user[row]), int(requests.session[row])), row)
    keys = zip(events["user"].to_pylist(), events["session"].to_pylist(), strict=True)
    at = np.array([first.get(key, -1) for key in keys])
    known = np.flatnonzero(at >= 0)
    causes = events["cause"].to_pylist()
    bought = events["item"].to_numpy()[known]
    return ids["user"], ids["item"], requests, at[known], bought, [causes[row] for row in known.tolist()]


def told(cases: list[Case], seed: int) -> list[str]:
    """Return the figures as lines."""
    knowable = [case for case in cases if case.cause in NAMED]
    lines = [f"{len(cases)} purchases; {len(knowable)} of a cause that an explanation can know"]
    users = np.array([case.user for case in knowable])

    def share(hits: Sequence[float]) -> str:
        found = bootstrap(np.array(hits, dtype=float), users, resamples=1000, confidence=0.95, seed=seed)
        return f"{found.value:.1%} [{found.low:.1%}, {found.high:.1%}]"

    lines.append(f"true cause among the first {FIRST}: {share([case.named() for case in knowable])}")
    lines.append(f"true cause named first: {share([case.named(1) for case in knowable])}")
    some = share([_by_chance(case) for case in knowable])
    lines.append(f"  three of the case's own reasons at random: {some}")
    kinds = [*KINDS, POPULAR]
    best = max(combinations(kinds, FIRST), key=lambda three: sum(NAMED[case.cause] in three for case in knowable))
    lines.append(
        f"  always the same three, the best there are here ({', '.join(best)}): "
        f"{share([NAMED[case.cause] in best for case in knowable])}"
    )
    own = [NAMED[case.cause] in case.there for case in knowable]
    lines.append(f"  evidence of the cause is there at all: {share(own)}")
    lines.append(
        f"  mean over causes: {_macro([case.named() for case in knowable], knowable):.1%}; at random "
        f"{_macro([_by_chance(case) for case in knowable], knowable):.1%}; always the same three "
        f"{_macro([NAMED[case.cause] in best for case in knowable], knowable):.1%}"
    )
    for cause in NAMED:
        of = [case for case in knowable if case.cause == cause]
        if of:
            lines.append(
                f"  {cause:<11} {len(of):>4} cases: first {FIRST} {np.mean([case.named() for case in of]):.0%}, "
                f"first {np.mean([case.named(1) for case in of]):.0%}, "
                f"evidence there {np.mean([NAMED[cause] in case.there for case in of]):.0%}"
            )
    for shown in (True, False):
        of = [case for case in knowable if case.shown == shown]
        if of:
            where = "shown among the ten" if shown else "not shown"
            lines.append(f"  item {where}: {len(of)} cases, first {FIRST} {np.mean([case.named() for case in of]):.0%}")
    hidden = Counter(case.cause for case in cases if case.cause not in NAMED)
    for cause, count in hidden.most_common():
        first = Counter(case.reasons[0] for case in cases if case.cause == cause and case.reasons)
        said = ", ".join(f"{kind} {times}" for kind, times in first.most_common(4))
        lines.append(f"  not knowable: {cause} {count} of {len(cases)} purchases; named first instead: {said}")
    return lines


def _macro(hits: Sequence[float], cases: Sequence[Case]) -> float:
    """Return the mean over causes of the mean over their cases."""
    causes = np.array([case.cause for case in cases])
    return float(np.mean([np.mean(np.asarray(hits, dtype=float)[causes == cause]) for cause in np.unique(causes)]))


def _by_chance(case: Case) -> float:
    """Return how often three of the case's reasons, drawn at random, hold the cause."""
    if NAMED[case.cause] not in case.reasons:
        return 0.0
    return min(1.0, FIRST / len(case.reasons))


if __name__ == "__main__":
    main()
