"""The intent head beside the class prior, the last-action rule, gradient boosting and, on the bazaar, the oracle.

Needs a run of CONFIG up to ``train-towers`` (``embed`` is not needed: the head is fitted here, as the stage fits it).

    python benchmarks/intent/compare.py configs/bazaar.yaml [key=value ...] [--towers CHECKPOINT] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from reading import Read, Shop, boosted, chances, fitted

from commerce.columns import INTENTS, NO_QUERY
from commerce.intent_measures import (
    auroc,
    class_prior,
    intent_block,
    intent_measures,
    last_actions,
    macro_f1,
    plain_rules,
)
from commerce.session_statistics import STATISTICS
from learning.hardware import machine
from pipeline.baselines import open_oracle

_GROUPS = {
    "of this session": lambda name: "this session" in name or name.startswith("minutes"),
    "of the query": lambda name: "query" in name,
    "of the session before": lambda name: "the session before" in name,
    "of habits": lambda name: "sessions before" in name or "a session before" in name or "purchase" in name[-13:],
}


def main() -> None:
    """Fit, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--towers", type=Path, help="a checkpoint of the same config's towers; else the run's own")
    parser.add_argument("--out", type=Path, help="where the figures go as JSON")
    given = parser.parse_args()
    shop = Shop.open(given.config, given.overrides)
    read = shop.read(shop.towers(given.towers))
    seed = shop.config.run.seed
    train, fit, test, within = (read[name] for name in ("train", "fit", "test", "within"))
    head, boosting = fitted(train, fit), boosted(train, fit, seed)
    systems = {
        "head": chances(head, test),
        "gradient boosting": boosting(test),
        **rules(shop, read, "test"),
    }
    if shop.config.data.reader == "bazaar":
        requests = shop.requests.of("test")
        texts = shop.prepared.query_texts
        oracle = open_oracle(shop.run, shop.config, texts).intents(shop.prepared.histories, requests)
        systems["oracle"] = oracle[requests.intent >= 0]
    labels = test.moments.label
    block = intent_block(systems, labels, test.moments.user, resamples=1000, confidence=0.95, seed=seed)
    assert block is not None
    table(block, systems)
    print("\npaired over users, head minus:")
    for name, found in block["paired"].items():
        told = ", ".join(f"{key} {v['value']:+.4f} ({v['low']:+.4f} to {v['high']:+.4f})" for key, v in found.items())
        print(f"  {name}: {told}")
    if "oracle" in systems:
        ratio = block["head"]["macro_f1"] / block["oracle"]["macro_f1"]
        print(f"\nmacro-F1 is {ratio:.1%} of the oracle's")
    found = {
        "block": block,
        "decisions": decisions(systems["head"], labels, train),
        "ablation": ablation(read),
        "position": positions(shop, head, boosting, test, within),
        "asked": by_query(systems, test),
        "hardware": machine(),
        "versions": {name: version(name) for name in ("torch", "scikit-learn", "numpy")},
        "moments": {name: len(one.moments) for name, one in read.items()},
    }
    print(found["moments"], found["versions"])
    if given.out:
        given.out.write_text(json.dumps(found, indent=1))


def rules(shop: Shop, read: dict[str, Read], name: str) -> dict[str, np.ndarray]:
    """Return what the two plain rules say of moments, learnt from what the head learns from."""
    histories = shop.prepared.histories
    learnt, asked = read["train"].moments, read[name].moments
    actions, earlier = (last_actions(histories.action, histories.offsets[one.user], one.end) for one in (asked, learnt))
    found = plain_rules(actions, learnt.label, earlier)
    assert found is not None
    return found


def table(block: dict, systems: dict) -> None:
    """Print every measure of every system."""
    names = list(next(iter(block[name] for name in systems)))
    print(f"{block['requests']:,} labelled test requests")
    print("system".ljust(20), *(name.rjust(18) for name in names))
    for name in systems:
        print(name.ljust(20), *(f"{block[name].get(measure, np.nan):18.4f}" for measure in names))


def decisions(head: np.ndarray, labels: np.ndarray, train: Read) -> dict[str, float]:
    """Return macro-F1 by decision rule: the likeliest intent, or the one likeliest against its share in training."""
    shares = class_prior(train.labels.numpy())
    found = {
        "likeliest": macro_f1(labels, head.argmax(axis=1)),
        "likeliest against its share": macro_f1(labels, (head / shares).argmax(axis=1)),
    }
    print("\nmacro-F1 by decision:", ", ".join(f"{name} {value:.4f}" for name, value in found.items()))
    return found


def ablation(read: dict[str, Read]) -> dict[str, dict[str, float]]:
    """Return what the head reaches with less: without states, without groups of numbers, with other moments."""
    groups = {name: np.array([test(one) for one in STATISTICS]) for name, test in _GROUPS.items()}
    every = np.ones(len(STATISTICS), dtype=bool)
    kinds = {"states and statistics": (True, every), "states alone": (True, None), "statistics alone": (False, every)}
    kinds |= {f"without numbers {name}": (True, ~group) for name, group in groups.items()}
    found = {}
    for name, (states, statistics) in kinds.items():
        parts = {key: one.without(states, statistics) for key, one in read.items()}
        found[name] = _both(fitted(parts["train"], parts["fit"]), parts)
    asked = np.flatnonzero(_is_asked(read["train"]))
    asked_fit = np.flatnonzero(_is_asked(read["fit"]))
    found["learnt where lists are asked for alone"] = _both(
        fitted(read["train"].rows(asked), read["fit"].rows(asked_fit)), read
    )
    print("\nablation: macro-F1, log-loss at requests | in the midst of sessions")
    for name, one in found.items():
        print(
            f"  {name.ljust(44)} {one['macro_f1']:.4f} {one['log_loss']:.4f} | "
            f"{one['within_macro_f1']:.4f} {one['within_log_loss']:.4f}"
        )
    return found


def positions(shop: Shop, head, boosting, test: Read, within: Read) -> dict[str, dict[str, float]]:
    """Return AUROC by how many events of the session are visible: how early is the intent known."""
    seen = [np.expm1(one.statistics[:, 0].numpy()).round().astype(int) for one in (test, within)]
    edges = [
        ("start, no search", 0, 0),
        ("search", 0, 99),
        ("1", 1, 1),
        ("2", 2, 2),
        ("3", 3, 3),
        ("4-5", 4, 5),
        ("6-8", 6, 8),
        ("9 and more", 9, 999),
    ]
    found = {}
    print("\nAUROC by events of the session that are visible (head / gradient boosting)")
    searched = test.moments.query != NO_QUERY
    for name, low, high in edges:
        if name in ("start, no search", "search"):
            source, rows = test, np.flatnonzero(searched == (name == "search"))
        else:
            source, rows = within, np.flatnonzero((seen[1] >= low) & (seen[1] <= high))
        part = source.rows(rows)
        ours, theirs = chances(head, part), boosting(part)
        found[name] = {"moments": len(rows)}
        for code, intent in enumerate(INTENTS):
            happened = part.moments.label == code
            found[name][intent] = auroc(happened, ours[:, code])
            found[name][f"{intent}, boosting"] = auroc(happened, theirs[:, code])
        told = ", ".join(f"{i} {found[name][i]:.3f} / {found[name][f'{i}, boosting']:.3f}" for i in INTENTS)
        print(f"  {name.ljust(18)} {len(rows):6,} moments: {told}")
    return found


def by_query(systems: dict, test: Read) -> dict[str, dict[str, float]]:
    """Return macro-F1 and log-loss of requests with and without search terms."""
    found = {}
    for name, rows in (
        ("with search terms", test.moments.query != NO_QUERY),
        ("without", test.moments.query == NO_QUERY),
    ):
        for system, given in systems.items():
            measured = intent_measures(test.moments.label[rows], given[rows])
            found[f"{system}, {name}"] = {key: measured[key] for key in ("macro_f1", "log_loss")}
    print("\nlog-loss:", ", ".join(f"{name} {one['log_loss']:.4f}" for name, one in found.items()))
    return found


def _is_asked(read: Read) -> np.ndarray:
    """Return which moments are session starts or searches: nothing of the session is visible, or a query is asked."""
    return (read.moments.query != NO_QUERY) | (read.statistics[:, 0].numpy() == 0)


def _both(head, parts: dict[str, Read]) -> dict[str, float]:
    asked = intent_measures(parts["test"].moments.label, chances(head, parts["test"]))
    within = intent_measures(parts["within"].moments.label, chances(head, parts["within"]))
    return {
        "macro_f1": asked["macro_f1"],
        "log_loss": asked["log_loss"],
        "within_macro_f1": within["macro_f1"],
        "within_log_loss": within["log_loss"],
    }


if __name__ == "__main__":
    main()
