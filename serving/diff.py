"""What sets two bundles apart: items, where they stand, what is answered, what was measured.

Two trainings turn the space of vectors as they like, so a vector's coordinates tell nothing across them; who an item's
neighbours are does. Where the two bundles are of one training (items were added, say) the vectors themselves are
compared too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from serving.requests import Request
from serving.runtime import Runtime

NEIGHBOURS = 10
_SAMPLE = 1000
_FIELDS = ("title", "price", "category", "brand")
_BLOCK = 65_536


@dataclass(frozen=True)
class Drift:
    """How items that both bundles have stand, on a sample evenly over them."""

    items: int
    """In the sample."""
    neighbours: float
    """Mean share of an item's nearest ten, among items of both, that the other bundle says too."""
    lowest: float
    """The least share of an item."""
    cosine: float | None
    """Mean cosine between an item's two vectors; None where widths or user towers differ, which say nothing then."""


@dataclass(frozen=True)
class Overlap:
    """How alike the two answer."""

    requests: int
    items: float
    """Mean share of the ten items of one answer that are in the other."""
    first: float
    """Share of requests whose first item is the same."""


@dataclass(frozen=True)
class Difference:
    """Of ``other`` from ``one``."""

    added: tuple[str, ...]
    """Ids that only ``other`` has."""
    removed: tuple[str, ...]
    """Ids that only ``one`` has."""
    changed: Mapping[str, int]
    """Field -> items of both in which it differs; ``text`` is what models read."""
    drift: Drift | None
    """None without an item in common."""
    answers: Overlap
    metrics: Mapping[str, tuple[float, float]]
    """``system metric`` -> values of both, where both have it."""
    settings: Mapping[str, tuple[Any, Any]]
    """Setting of how it answers -> values of both, where they differ."""
    bytes: tuple[int, int]


def diff(one: str | Path, other: str | Path) -> Difference:
    """Compare two bundles.

    Requests are the golden ones of ``one``: made-up users whose events are of its catalogue. The other bundle leaves
    out events of items that it does not have.

    Raises:
        BundleError: if one is damaged.
        InputError: if one was given for both.
    """
    if Path(one).resolve() == Path(other).resolve():
        raise InputError(f"{one} was given twice; name the two bundles to compare")
    both = Runtime(one, beside=False), Runtime(other, beside=False)
    ids = [[runtime.item_id(code) for code in range(runtime.items)] for runtime in both]
    place = {item: code for code, item in enumerate(ids[1])}
    known = [(code, place[item]) for code, item in enumerate(ids[0]) if item in place]
    codes = np.array(known, dtype=np.int64).reshape(-1, 2).T
    first = set(ids[0])
    metrics = [_metrics(runtime.manifest["metrics"]) for runtime in both]
    told = [_flat(runtime.manifest["settings"]) for runtime in both]
    return Difference(
        added=tuple(item for item in ids[1] if item not in first),
        removed=tuple(item for item in ids[0] if item not in place),
        changed=_changed(both, codes),
        drift=_drift(both, codes) if codes.shape[1] else None,
        answers=_answers(both),
        metrics={name: (value, metrics[1][name]) for name, value in metrics[0].items() if name in metrics[1]},
        settings={
            name: (told[0].get(name), told[1].get(name))
            for name in sorted({*told[0], *told[1]})
            if told[0].get(name) != told[1].get(name)
        },
        bytes=(_bytes(both[0]), _bytes(both[1])),
    )


def _bytes(runtime: Runtime) -> int:
    return sum(file["bytes"] for file in runtime.manifest["files"].values())


def _changed(both: Sequence[Runtime], codes: NDArray[np.int64]) -> dict[str, int]:
    counts = dict.fromkeys(("text", *_FIELDS), 0)
    texts, fields = [[getattr(runtime.contents, name) for runtime in both] for name in ("item_texts", "item_fields")]
    for one, other in codes.T.tolist():
        counts["text"] += texts[0][one] != texts[1][other]
        shown = fields[0].of(one), fields[1].of(other)
        for name in _FIELDS:
            counts[name] += shown[0].get(name) != shown[1].get(name)
    return {name: count for name, count in counts.items() if count}


def _drift(both: Sequence[Runtime], codes: NDArray[np.int64]) -> Drift:
    size = codes.shape[1]
    sample = np.linspace(0, size - 1, min(size, _SAMPLE), dtype=np.int64)
    near = [_nearest(runtime.contents.item_vectors, own, sample) for runtime, own in zip(both, codes, strict=True)]
    alike = np.array([len(np.intersect1d(*rows)) for rows in zip(*near, strict=True)]) / max(1, near[0].shape[1])
    cosine = None
    if _tower(both[0]) == _tower(both[1]):
        vectors = [
            np.asarray(runtime.contents.item_vectors[own[sample]]) for runtime, own in zip(both, codes, strict=True)
        ]
        cosine = float((vectors[0] * vectors[1]).sum(axis=1).mean())
    return Drift(len(sample), float(alike.mean()), float(alike.min()), cosine)


def _nearest(vectors: NDArray[np.float32], codes: NDArray[np.int64], sample: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places in ``codes`` of the nearest ten of each sampled item, itself left out, ``[sample, ten]``."""
    asked = np.asarray(vectors[codes[sample]])
    best = np.full((len(sample), 0), -np.inf, dtype=np.float32)
    place = np.zeros((len(sample), 0), dtype=np.int64)
    k = min(NEIGHBOURS, len(codes) - 1)
    for start in range(0, len(codes), _BLOCK):
        block = codes[start : start + _BLOCK]
        scores = asked @ np.asarray(vectors[block]).T
        itself = (sample >= start) & (sample < start + len(block))
        scores[np.flatnonzero(itself), sample[itself] - start] = -np.inf
        best = np.concatenate([best, scores], axis=1)
        place = np.concatenate([place, np.broadcast_to(start + np.arange(len(block)), scores.shape)], axis=1)
        first = np.argsort(-best, axis=1, kind="stable")[:, :k]
        best, place = np.take_along_axis(best, first, axis=1), np.take_along_axis(place, first, axis=1)
    return place


def _tower(runtime: Runtime) -> str:
    """Return the hash of what made the vectors."""
    files: Mapping[str, Mapping[str, Any]] = runtime.manifest["files"]
    return str(files["user_tower.onnx" if runtime.personalised else "text_encoder.onnx"]["sha256"])


def _answers(both: Sequence[Runtime]) -> Overlap:
    shares, first = [], []
    for golden in both[0].manifest["golden"]:
        request = replace(Request.from_json(golden["request"]), k=NEIGHBOURS)
        one, other = ([item.item_id for item in runtime.answer(request).items] for runtime in both)
        shares.append(len({*one} & {*other}) / max(1, len(one), len(other)))
        first.append(one[:1] == other[:1])
    return Overlap(len(shares), float(np.mean(shares or [1.0])), float(np.mean(first or [True])))


def _metrics(measured: Mapping[str, Any]) -> dict[str, float]:
    return {
        f"{system} {name}": float(value["value"])
        for system, values in measured.get("systems", {}).items()
        for name, value in values.items()
    }


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {before + name: value}
    return flat
