"""Register: log the run and put its bundle into the model registry, where the serving team finds it."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from configs.load import as_yaml
from configs.schema import Config
from pipeline.cards.write import CARDS
from pipeline.provenance import git_commit
from pipeline.registry.evidence import FOLDER, write_evidence
from pipeline.registry.guarded import guarded_evidence
from pipeline.stage import Outcome, Work
from serving.manifest import bundle_id, check_files, read_manifest

_STEPS = ("step", "epoch")
"""Columns of a curve file that number its rows, the first one present."""


def register(work: Work) -> Outcome:
    """Log config, metrics, curves, data window and commit; register the bundle under the alias ``candidate``."""
    from pipeline.registry.registration import ALIAS, Record, Registry  # MLflow alone takes seconds

    config = without_password(work.config)
    bundle = work.run.root / "bundle"
    manifest = read_manifest(bundle)
    check_files(bundle, manifest)
    proof = work.out / FOLDER
    write_evidence(guarded_evidence(work), proof)
    resolved = work.out / "config.yaml"
    resolved.write_text(as_yaml(config), encoding="utf-8")
    measured = work.run.root / "metrics.json"
    record = Record(
        name=config.run.name,
        key=work.key,
        params={**flat(asdict(config)), **flat({"data_window": manifest["window"]})},
        metrics=flat_metrics(json.loads(measured.read_text(encoding="utf-8"))),
        curves=_curves(work) if "mlflow" in config.tracking.loggers else {},
        tags={
            "mercato.version": version("mercato"),
            "mercato.bundle": bundle_id(bundle),
            "mercato.git_commit": git_commit(),
        },
        files=[resolved, measured, proof, *(bundle / name for name in CARDS if (bundle / name).is_file())],
    )
    done = Registry(work.config.tracking.uri, config.tracking.experiment).register(
        record, bundle, config.tracking.model
    )
    facts = {
        "run": done.run_id,
        "model": done.model,
        "version": done.version,
        "alias": ALIAS,
        "uri": config.tracking.uri,
    }
    (work.out / "registered.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return Outcome(
        [
            f"model {done.model}, version {done.version}, alias {ALIAS} (bundle {bundle_id(bundle)})",
            f"look at it with: mlflow ui --backend-store-uri {config.tracking.uri}",
        ]
    )


def _curves(work: Work) -> dict[str, list[tuple[int, float]]]:
    """Return the curves of both trainings, each name led by its own; the ranker has none where nothing was trained."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for name in ("towers", "ranker"):
        path = work.run.stage(f"train-{name}") / "curves.csv"
        if path.is_file():
            curves |= {f"{name}/{curve}": points for curve, points in read_curves(path).items()}
    return curves


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return ``{"towers": {"dim": 8}}`` as ``{"towers.dim": "8"}``."""
    found: dict[str, str] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = str(value)
    return found


def flat_metrics(measured: Mapping[str, Any]) -> dict[str, float]:
    """Return ``SYSTEM/METRIC`` of each system and both ends of each paired interval, as ``metrics.json`` has them."""
    found = {
        f"{system}/{metric}": float(interval["value"])
        for system, metrics in measured["systems"].items()
        for metric, interval in metrics.items()
        if interval["value"] is not None
    }
    for pair, metrics in measured.get("paired", {}).items():
        for metric, interval in metrics.items():
            ends = {end: interval.get(end) for end in ("value", "low", "high")}
            found |= {f"{pair}/{metric}/{end}": float(x) for end, x in ends.items() if x is not None}
    return found


def read_curves(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Read a CSV of numbers, a row per step or epoch, as name -> (step, value) pairs; empty cells are left out."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    curves: dict[str, list[tuple[int, float]]] = {}
    for number, row in enumerate(rows):
        step = next((int(float(row[name])) for name in _STEPS if row.get(name)), number)
        for name, cell in row.items():
            if name not in _STEPS and cell:
                curves.setdefault(name, []).append((step, float(cell)))
    return curves


def without_password(config: Config) -> Config:
    """Return a copy of ``config`` whose tracking address tells no password, since it is written down for others."""
    copy = deepcopy(config)
    parts = urlsplit(copy.tracking.uri)
    if parts.password is not None:
        host = parts.netloc.rpartition("@")[2]
        copy.tracking.uri = urlunsplit(parts._replace(netloc=f"{parts.username}:***@{host}"))
    return copy
