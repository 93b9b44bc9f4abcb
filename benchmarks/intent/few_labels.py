"""The intent head where few sessions are labelled: on trained towers, on untrained ones, and gradient boosting.

A share of the sessions before the ranker window, and of those it is calibrated on, keeps its labels; all are asked the
same test requests. Needs a run of CONFIG up to ``train-towers``.

    python benchmarks/intent/few_labels.py configs/bazaar.yaml [key=value ...] [--shares .01,.05,.2,1] [--draws 3]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import lightning as L
import numpy as np
from reading import Read, Shop, boosted, chances, fitted

from commerce.histories import Histories
from commerce.intent_measures import intent_differences, intent_measures
from commerce.splits import ends_before
from learning.hardware import machine
from towers.module import TwoTower


def main() -> None:
    """Fit at every share, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--shares", default=".01,.05,.2,1", help="of the labelled sessions")
    parser.add_argument("--draws", type=int, default=3, help="of the labelled sessions at each share")
    parser.add_argument("--towers", type=Path, help="a checkpoint of the same config's towers; else the run's own")
    parser.add_argument("--out", type=Path, help="where the figures go as JSON")
    given = parser.parse_args()
    shop = Shop.open(given.config, given.overrides)
    seed, histories = shop.config.run.seed, shop.prepared.histories
    trained = shop.towers(given.towers)
    L.seed_everything(seed, verbose=False)
    untrained = shop.attached(TwoTower(**trained.hparams))
    read = {
        name: shop.read(module, ("train", "fit", "test"))
        for name, module in (("pretrained", trained), ("untrained", untrained))
    }
    found = {}
    for share in map(float, given.shares.split(",")):
        found[str(share)] = at_share(share, read, histories, given.draws, seed)
    print(machine())
    if given.out:
        given.out.write_text(json.dumps(found, indent=1))


def at_share(
    share: float, read: dict[str, dict[str, Read]], histories: Histories, draws: int, seed: int
) -> dict[str, object]:
    """Return the measures of each system at a share, and the differences of ``pretrained`` from the others."""
    systems: dict[str, list[np.ndarray]] = {}
    for draw in range(draws if share < 1 else 1):
        labelled = {
            name: _of_sessions(read["pretrained"][name], histories, share, [seed, draw]) for name in ("train", "fit")
        }
        for encoder, parts in read.items():
            train, fit, test = (
                parts[name].rows(labelled[name]) if name in labelled else parts[name]
                for name in ("train", "fit", "test")
            )
            systems.setdefault(encoder, []).append(chances(fitted(train, fit), test))
            alone = [part.without(True, None) for part in (train, fit, test)]
            systems.setdefault(f"{encoder}, states alone", []).append(chances(fitted(*alone[:2]), alone[2]))
        train, fit, test = (
            read["pretrained"][name].rows(labelled[name]) if name in labelled else read["pretrained"][name]
            for name in ("train", "fit", "test")
        )
        systems.setdefault("gradient boosting", []).append(boosted(train, fit, seed)(test))
        nothing = [part.without(False, np.ones(part.statistics.shape[1], dtype=bool)) for part in (train, fit, test)]
        systems.setdefault("numbers alone", []).append(chances(fitted(*nothing[:2]), nothing[2]))
    test = read["pretrained"]["test"].moments
    print(f"\n{share:.0%} of labelled sessions, {len(labelled['train']):,} moments")
    found: dict[str, object] = {}
    for name, drawn in systems.items():
        measured = [intent_measures(test.label, one) for one in drawn]
        found[name] = {key: float(np.mean([one[key] for one in measured])) for key in measured[0]}
        print(f"  {name.ljust(28)} macro-F1 {found[name]['macro_f1']:.4f} log-loss {found[name]['log_loss']:.4f}")
    # Draws one under the other: each user brings all of their moments of all draws.
    labels, users = (np.tile(one, len(systems["pretrained"])) for one in (test.label, test.user))
    for one, other in (
        ("pretrained", "untrained"),
        ("pretrained", "gradient boosting"),
        ("pretrained", "numbers alone"),
        ("pretrained, states alone", "untrained, states alone"),
    ):
        told = intent_differences(
            labels, np.concatenate(systems[one]), np.concatenate(systems[other]), users,
            resamples=1000, confidence=0.95, seed=seed,
        )  # fmt: skip
        found[f"{one} - {other}"] = told
        f1, loss = told["macro_f1"], told["log_loss"]
        print(
            f"  {one} - {other}: macro-F1 {f1['value']:+.4f} ({f1['low']:+.4f} to {f1['high']:+.4f}), "
            f"log-loss {loss['value']:+.4f} ({loss['low']:+.4f} to {loss['high']:+.4f})"
        )
    return found


def _of_sessions(read: Read, histories: Histories, share: float, seed: list[int]) -> np.ndarray:
    """Return the rows of the moments whose sessions are among the labelled share."""
    # A label needs a later event of its session: that names the session.
    later = ends_before(histories, read.moments.user, read.moments.time + 1)
    sessions, owner = np.unique(histories.session[later], return_inverse=True)
    kept = np.random.default_rng(seed).random(len(sessions)) < share
    return np.flatnonzero(kept[owner])


if __name__ == "__main__":
    main()
