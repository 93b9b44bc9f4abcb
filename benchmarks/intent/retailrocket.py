"""What the labels and the numbers make of real sequences of actions: an illustration, not a measure of intents.

The file holds sessions of items and action codes 0-3 whose meaning is not documented, without times, users, texts or
categories, and the item to foretell (the target) is in the list itself. So nothing here says what a visitor was about:
the rules are applied to the codes as numbers, one code after the other standing for "cart or purchase", to see whether
the prefix of a session foretells what its rest shows on real data too.

    python benchmarks/intent/retailrocket.py FOLDER [--out FILE]

Sessions are cut 80/20 at random, by session. Each is one user; events are a minute apart.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import ibis
import numpy as np
import torch
from reading import Read, boosted, chances, fitted

from commerce.columns import ACTION_CODES, INTENTS, MICROSECONDS, NO_QUERY
from commerce.histories import Histories
from commerce.intent import IntentRules, fetch_labels, history_events, label_moments, moment_table, session_marks
from commerce.intent_measures import intent_block, last_actions, plain_rules
from commerce.intent_moments import IntentMoments, moments_within
from commerce.session_statistics import LoggedSessions, SessionFacts
from learning.hardware import machine

_FILE = "retail_beh.train.inter"
_CODES = 4


def main() -> None:
    """Label by each code in turn, fit, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--codes", default="0,1,2,3", help="codes that are read as a purchase, one after the other")
    parser.add_argument("--moments", type=int, default=10_000, help="to learn from, and to ask, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where the figures go as JSON")
    given = parser.parse_args()
    sessions = read_sessions(given.folder / _FILE)
    codes = np.concatenate([actions for _, actions in sessions])
    print(f"{len(sessions):,} sessions, {len(codes):,} events; codes {np.bincount(codes, minlength=_CODES).tolist()}")
    test = np.random.default_rng(given.seed).random(len(sessions)) < 0.2
    found = {}
    for bought in map(int, given.codes.split(",")):
        found[str(bought)] = with_code(sessions, bought, test, given.moments, given.seed)
    print(machine())
    if given.out:
        given.out.write_text(json.dumps(found, indent=1))


def read_sessions(file: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (items, codes) of each session, oldest first."""
    sessions = []
    with file.open(encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            _, items, codes, _ = line.rstrip("\n").split("\t")
            sessions.append((np.array(items.split(), dtype=np.int32), np.array(codes.split(), dtype=np.int64)))
    return sessions


def with_code(
    sessions: list[tuple[np.ndarray, np.ndarray]], bought: int, test: np.ndarray, most: int, seed: int
) -> dict:
    """Return how well the rest is foretold where ``bought`` is read as a purchase and all other codes as views."""
    lengths = np.array([len(items) for items, _ in sessions])
    code = np.concatenate([codes for _, codes in sessions])
    place = np.arange(len(code)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    other = [ACTION_CODES[action] for action in ("view", "favorite", "cart")]  # the codes stay apart in the numbers
    names = np.array([ACTION_CODES["purchase"] if one == bought else other.pop(0) for one in range(_CODES)])
    histories = Histories(
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        item=np.concatenate([items for items, _ in sessions]),
        action=names[code].astype(np.uint8),
        time=(place * 60 * MICROSECONDS).astype(np.int64),
        query=np.full(len(code), NO_QUERY, dtype=np.int32),
        session=np.repeat(np.arange(len(sessions)), lengths),
    )
    window = np.full(len(code), -1, dtype=np.int8)
    nothing = ibis.memtable({"item": np.array([], np.int32), "leaf": np.array([], np.int32)})
    marks = session_marks(history_events(histories, window), nothing, None, IntentRules(buys=("purchase",)))
    moments = moment_table(histories.session, window, histories.time)
    labels = fetch_labels(ibis.duckdb.connect(threads=1), label_moments(moments, marks))
    every = moments_within(histories, histories.offsets[:-1], histories.offsets[1:], labels)
    items = int(histories.item.max()) + 1
    facts = SessionFacts(np.full(items, -1, np.int32), np.full(items, np.nan, np.float32), 30 * 60 * MICROSECONDS)
    counted = LoggedSessions(facts, np.zeros(0, dtype=np.float32))

    def read(part: IntentMoments) -> Read:
        part = part.drawn(most, seed)
        statistics = counted.statistics(histories, part.user, part.end, part.time, part.query)
        return Read(part, torch.zeros(len(part), 0), torch.from_numpy(statistics))

    held = test[every.user]
    fit_users = np.random.default_rng([seed, 1]).random(len(sessions)) < 0.1
    train, fit = read(every.rows(~held & ~fit_users[every.user])), read(every.rows(~held & fit_users[every.user]))
    asked = read(every.rows(held))
    shares = np.bincount(asked.moments.label, minlength=len(INTENTS)) / len(asked.moments)
    told = ", ".join(f"{intent} {share:.1%}" for intent, share in zip(INTENTS, shares, strict=True))
    print(f"\ncode {bought} as a purchase: {told}")
    actions, earlier = (
        last_actions(histories.action, histories.offsets[one.moments.user], one.moments.end) for one in (asked, train)
    )
    rules = plain_rules(actions, train.moments.label, earlier)
    assert rules is not None
    head = chances(fitted(train, fit), asked)
    systems = {"head": head, "gradient boosting": boosted(train, fit, seed)(asked), **rules}
    block = intent_block(systems, asked.moments.label, asked.moments.user, resamples=1000, confidence=0.95, seed=seed)
    assert block is not None
    for name in systems:
        print(f"  {name.ljust(20)}", ", ".join(f"{key} {value:.4f}" for key, value in block[name].items()))
    for name, told in block["paired"].items():
        f1, loss = told["macro_f1"], told["log_loss"]
        print(
            f"  {name}: macro-F1 {f1['value']:+.4f} ({f1['low']:+.4f} to {f1['high']:+.4f}), "
            f"log-loss {loss['value']:+.4f} ({loss['low']:+.4f} to {loss['high']:+.4f})"
        )
    return block


if __name__ == "__main__":
    main()
