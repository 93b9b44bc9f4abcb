"""How the two trainings went: their curves, and what the gate said of the reranker."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.report.headline import Estimate
from pipeline.run_folder import RunFolder

SMOOTHED = 25
"""Steps that the smoothed loss of the ranker is a mean over."""


@dataclass(frozen=True)
class Verdict:
    """What became of the reranker under one protocol."""

    shipped: bool
    reason: str
    weight: float
    requests: int
    users: int
    orders: dict[str, Estimate]
    """NDCG@10 on the gate half of validation, of the blended order and the reranked one; empty if none was trained."""
    difference: Estimate | None


def read_verdict(run: RunFolder, protocol: str) -> Verdict | None:
    """Return the gate's verdict under ``protocol``; None where it was not asked."""
    gate = json.loads((run.stage("train-ranker") / "gate.json").read_text())
    found: dict[str, Any] | None = gate if protocol == "main" else gate.get(protocol)
    if not found:
        return None
    orders = {name: Estimate.of(numbers) for name, numbers in (found.get("ndcg@10") or {}).items() if numbers}
    paired = found.get("paired")
    return Verdict(
        shipped=found["shipped"],
        reason=found["reason"],
        weight=found.get("weight") or 0.0,
        requests=found.get("requests") or 0,
        users=found.get("users") or 0,
        orders=orders,
        difference=Estimate.of(paired) if paired else None,
    )


def read_columns(path: Path) -> dict[str, list[float | None]]:
    """Return the columns of a curves file by name, None where a cell is empty; no columns where there is no file."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    names = list(lines[0]) if lines else []
    return {name: [float(line[name]) if line[name] else None for line in lines] for name in names}


def running_mean(values: NDArray[np.floating], width: int) -> NDArray[np.float64]:
    """Return the mean of each value and the ``width`` - 1 before it, fewer at the start; ``[values]``."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    means: NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return means
