"""What the shop's own rules for ranked lists cost, and what they bring, as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.report.headline import Estimate


@dataclass(frozen=True)
class Price:
    """One rule's line."""

    name: str
    cost: Estimate
    """NDCG of the lists under all rules minus those without this one."""
    without: dict[str, float]
    """Variety and parity of the lists without it, where the shop has categories or groups."""


@dataclass(frozen=True)
class Prices:
    """The card."""

    title: str
    top: int
    made_of: dict[str, float]
    """The same measures of the lists that ship."""
    rows: list[Price]


def read_prices(metrics: dict[str, Any]) -> Prices | None:
    """Return what ``metrics.json`` says of the rules; None where the shop has none."""
    found = metrics.get("after")
    if not found:
        return None
    rows = [
        Price("all rules together" if name == "all" else name, Estimate.of(one), one["made_of"])
        for name, one in found["prices"].items()
    ]
    return Prices(f"NDCG@{found['cut']}", found["top"], found["made_of"], rows)
