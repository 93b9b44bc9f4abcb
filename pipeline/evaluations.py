"""What ``mercato evaluate CONFIG --ranking FILE`` leaves in a run folder: ``evaluations/NAME.json`` and its lists.

The lists lie beside the JSON as ``NAME.parquet`` (the record ``rankings``), after all that was done to them, so that
``mercato compare`` can measure them request by request. Where a run measures items new to their user besides, there is
a ``NAME_new_items`` of both.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.durable import write_atomic
from commerce.records import read_ranked, write_ranked
from configs.errors import InputError
from pipeline.asked import Evaluated
from pipeline.run_folder import RunFolder
from pipeline.stage_key import outputs_digest

FOLDER = "evaluations"
"""Beside the stages: what is measured here belongs to no stage and outlives them."""
NEW_ITEMS = "_new_items"
"""Ends the names of what was measured on items new to their user."""
_CODED_BY = ("ingest", "prepare")
"""Stages that decide which code means which item, and which request is which."""
_TERMS = ("filter_seen", "targets", "window", "requests", "seed")
"""Decide, under the same stages, which requests are measured and what may be listed."""


def keep(
    measured: Evaluated, name: str, metrics: dict[str, Any], items: NDArray[np.int32], scores: NDArray[np.float32]
) -> Path:
    """Write a system's metrics and lists into the run folder and return the path of the JSON.

    Args:
        measured: the run's own measurement, on whose requests the lists were measured.
        name: the system's.
        metrics: with a block ``ranking``, to which it adds what ``read`` asks.
        items: ``[requests, depth]``, best first, ``NO_ITEM`` padded.
        scores: ``[requests, depth]``.
    """
    path = _path(measured, name)
    path.parent.mkdir(exist_ok=True)
    metrics["ranking"] |= {"depth": items.shape[1], "coded_by": _coded_by(measured.root)}
    # The lists first: a JSON that can be read has its lists.
    temporary = path.with_name(f".{path.stem}.parquet.tmp")
    write_ranked(temporary, measured.requests.request_id, items, scores)
    temporary.replace(path.with_suffix(".parquet"))
    write_atomic(path, json.dumps(metrics, indent=1, ensure_ascii=False))
    return path


def kept(measured: Evaluated) -> list[str]:
    """Return the names of the systems that were measured beside the run's own, under the same protocol."""
    names = sorted(path.stem for path in (measured.root / FOLDER).glob("*.json"))
    if measured.new_items:
        return [name.removesuffix(NEW_ITEMS) for name in names if name.endswith(NEW_ITEMS)]
    return [name for name in names if not name.endswith(NEW_ITEMS)]


def read(measured: Evaluated, name: str) -> tuple[NDArray[np.int32], NDArray[np.float32], int]:
    """Return the items, scores (``[requests, depth or fewer]`` each) and depth of lists that ``keep`` kept.

    Raises:
        InputError: if they were measured on other requests than the run's own are now, or keep no lists.
    """
    path = _path(measured, name)
    metrics = json.loads(path.read_text(encoding="utf-8"))
    told = metrics["ranking"]
    again = f"measure it again: `mercato evaluate CONFIG --ranking {told['file']} --name {name}`"
    if "coded_by" not in told or not path.with_suffix(".parquet").is_file():
        raise InputError(f"{path} has no lists beside it, so nothing can be told request by request; {again}")
    changed = [stage for stage, digest in _coded_by(measured.root).items() if told["coded_by"].get(stage) != digest]
    changed += [term for term in _TERMS if metrics[term] != measured.metrics[term]]
    if changed:
        raise InputError(
            f"{path} was measured on other terms than {measured.root} is now (changed since: {', '.join(changed)}); "
            f"{again}"
        )
    items, scores = read_ranked(path.with_suffix(".parquet"), measured.requests.request_id)
    return items, scores, int(told["depth"])


def _path(measured: Evaluated, name: str) -> Path:
    return measured.root / FOLDER / f"{name}{NEW_ITEMS if measured.new_items else ''}.json"


def _coded_by(root: Path) -> dict[str, str]:
    return {stage: outputs_digest(RunFolder(root), stage) for stage in _CODED_BY}
