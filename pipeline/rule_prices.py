"""What the shop's rules cost: NDCG of the lists under all rules beside those without one of them, and without any.

Measured on the same requests, so each price is a paired difference with its interval; what a rule brings (categories
in a list, parity of exposure) stands beside what it costs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.diversity import category_diversity
from commerce.exposure import exposure_parity
from commerce.intervals import Interval, bootstrap, paired
from commerce.metrics import Relevant, discount, find, ndcg
from ranking.after import Rules

CUT = 10
"""NDCG is compared at this place, as at the gate."""
VALUE = "value"
"""Name of the order by expected value among the rules."""
Lists = NDArray[np.int32]


def rule_prices(
    rules: Rules,
    arranged: Callable[[Rules], Lists],
    before: Lists,
    unvalued: Lists | None,
    relevant: Relevant,
    users: NDArray[np.integer],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, Any] | None:
    """Return what ``metrics.json`` says of the rules; None where none is on.

    Args:
        rules: the shop's.
        arranged: gives the lists under some rules, ``[requests, length]``.
        before: the lists without any, in the order of their scores.
        unvalued: the lists under all rules but in the order of their scores, where ``rank.value`` asks for another.
        relevant: of the requests.
        users: ``[requests]``.
        resamples: of users, behind each interval.
        confidence: of the intervals.
        seed: of the resampling.
    """
    if not rules.active and unvalued is None:
        return None
    whole = arranged(rules)
    others = {"all": before} | {kind: arranged(rules.without(kind)) for kind in rules.active}
    if unvalued is not None:
        others[VALUE] = unvalued
    values = {name: ndcg(find(lists, relevant), CUT) for name, lists in others.items()}
    with_all = ndcg(find(whole, relevant), CUT)

    def price(without: NDArray[np.float64]) -> Interval:
        return paired(with_all, without, users, resamples=resamples, confidence=confidence, seed=seed)

    told = bootstrap(with_all, users, resamples=resamples, confidence=confidence, seed=seed)
    return {
        "cut": CUT,
        "top": rules.top,
        f"ndcg@{CUT}": told.as_dict(),
        "made_of": _made_of(whole, rules),
        "prices": {
            name: {**price(values[name]).as_dict(), "made_of": _made_of(lists, rules)} for name, lists in others.items()
        },
    }


def price_lines(told: dict[str, Any] | None) -> list[str]:
    """Say the prices for a person, one line a rule."""
    if told is None:
        return []
    lines = [f"after ranking: what the rules cost, in NDCG@{told['cut']} (with all of them minus without)"]
    for name, price in told["prices"].items():
        what = "all rules together" if name == "all" else name
        gains = ", ".join(
            f"{measure} {told['made_of'][measure]:.3f} instead of {value:.3f}"
            for measure, value in price["made_of"].items()
        )
        spread = f"{price['value']:+.4f} [{price['low']:+.4f}, {price['high']:+.4f}]"
        lines.append(f"  {what:<18} {spread}" + (f"; {gains}" if gains else ""))
    return lines


def _made_of(lists: Lists, rules: Rules) -> dict[str, float]:
    """Return what lists are made of where the shop has categories or groups: variety, and parity of exposure."""
    made: dict[str, float] = {}
    if len(rules.category_names):
        made["variety"] = float(category_diversity(lists, CUT, rules.category).mean())
    if len(rules.group_names):
        made["parity"] = _parity(lists, rules.group, len(rules.group_names))
    return made


def _parity(lists: Lists, group: NDArray[np.int32], groups: int) -> float:
    top = lists[:, :CUT]
    codes = np.where(top >= 0, group[np.maximum(top, 0)], -1)
    weights = np.broadcast_to(discount(np.arange(top.shape[1])), top.shape)
    exposure = np.bincount(codes[codes >= 0], weights=weights[codes >= 0], minlength=groups).astype(np.float64)
    return float(exposure_parity(exposure[None], np.bincount(group[group >= 0], minlength=groups))[0])
