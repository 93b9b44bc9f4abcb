"""Whether a graph ships in fp32 or int8: decided by what both do on this machine, never assumed.

int8 graphs hold their weights as 8-bit integers with one scale a channel and quantise activations as they come (ONNX
Runtime's dynamic quantisation). Whether that is faster depends on the processor, and what it costs on the model. A
graph ships in int8 only where it is ``export.int8_speedup`` times as fast, one request on one thread, and loses at most
``export.int8_loss`` of its measure on the gate's requests, both graphs answering the same ones.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.intervals import paired
from configs.schema import ExportConfig
from learning.eight_bits import quantise
from pipeline.precision_trials import Trial, trials
from serving.models import GRAPHS, Floats, Models, OnnxModels, UserInputs

_ROUNDS = 7
_BLOCK = 12
"""Calls of a graph that a round times."""
_RESAMPLES = 1000
_LEAST = 50
"""Requests below which a loss of half a percent is luck."""


@dataclass(frozen=True)
class Choice:
    """What was decided of one graph."""

    precision: str
    why: str
    figures: dict[str, Any]
    """What was measured; empty where nothing was."""

    def as_json(self) -> dict[str, Any]:
        """Return what the manifest says."""
        return {"precision": self.precision, "why": self.why, "measured": self.figures}


def told(models: dict[str, Any]) -> list[str]:
    """Return in words what was chosen, from the manifest's ``models``."""
    known = {part: models[part] for part in GRAPHS if models[part] and "precision" in models[part]}
    return [f"{GRAPHS[part]}: {one['precision']}; {one['why']}" for part, one in known.items()]


def choose_precisions(folder: Path, models: dict[str, Any], source: Any) -> dict[str, Any]:
    """Measure the graphs of a bundle in both precisions and keep the one that holds of each.

    Args:
        folder: of the bundle; its fp32 graphs are replaced where int8 is chosen.
        models: of the manifest.
        source: the ``BundleSource``, which knows the requests.

    Returns: ``models`` with ``precision``, ``why`` and ``measured`` of each part.
    """
    settings: ExportConfig = source.config.export
    parts = [part for part in GRAPHS if models[part] is not None]
    choices = {part: Choice("fp32", "export.precision=fp32", {}) for part in parts}
    if settings.precision != "fp32":
        choices = _measured(folder, models, source, parts)
    return models | {part: {**models[part], **choices[part].as_json()} for part in parts}


def _measured(folder: Path, models: dict[str, Any], source: Any, parts: Sequence[str]) -> dict[str, Choice]:
    """Return what is chosen of each part, and put the int8 graphs that are into the bundle."""
    settings: ExportConfig = source.config.export
    choices = {part: decide({}, settings) for part in parts}
    with TemporaryDirectory(prefix="int8-") as name:
        small = Path(name)
        for part in parts:
            quantise(folder / GRAPHS[part], small / GRAPHS[part])
        for path in folder.iterdir():  # tokenizers and tokens are the same
            if not (small / path.name).exists():
                (small / path.name).symlink_to(path.resolve())
        for trial in trials(folder, OnnxModels(folder, models, 1), OnnxModels(small, models, 1), models, source):
            choices[trial.part] = decide(measure(trial, source.config.run.seed), settings)
        for part in parts:  # not before all are tried, since the trials ask one another's fp32 graphs
            if choices[part].precision == "int8":
                shutil.copyfile(small / GRAPHS[part], folder / GRAPHS[part])
    return choices


def measure(trial: Trial, seed: int) -> dict[str, Any]:
    """Return speed, agreement and, where there are requests, the measure of both graphs, as JSON values."""
    taken = seconds_each([trial.calls[name] for name in trial.calls])
    figures: dict[str, Any] = {
        "milliseconds": {name: round(one * 1e3, 4) for name, one in zip(trial.calls, taken, strict=True)},
        "speed": round(taken[list(trial.calls).index("fp32")] / taken[list(trial.calls).index("int8")], 3),
        "cosine": {"lowest": round(float(trial.cosines.min()), 6), "mean": round(float(trial.cosines.mean()), 6)},
        "bytes": trial.bytes,
    }
    if trial.values is not None and trial.users is not None:
        fp32, int8 = trial.values
        found = paired(int8, fp32, trial.users, resamples=_RESAMPLES, confidence=0.95, seed=seed)
        figures |= {
            "requests": len(fp32),
            "measure": trial.measure,
            "fp32": round(float(fp32.mean()), 6),
            "int8": round(float(int8.mean()), 6),
            "difference": {name: round(value, 6) for name, value in found.as_dict().items()},
            "overlap@10": round(float(trial.overlap), 4),
        }
    return figures


def decide(figures: dict[str, Any], settings: ExportConfig) -> Choice:
    """Return the precision that the figures allow, and why; ``figures`` may be empty where nothing could be asked."""
    asked = figures.get("requests", 0)
    fast = f"{figures['speed']:.2f} times as fast" if figures else "not timed"
    if asked < _LEAST:
        told = f"int8 is {fast}, but {asked} requests of the gate's half can tell what it loses, {_LEAST} are needed"
        return Choice("int8" if settings.precision == "int8" else "fp32", _asked(settings, told), figures)
    lost = max(0.0, figures["fp32"] - figures["int8"]) / figures["fp32"] if figures["fp32"] > 0 else 0.0
    told = (
        f"int8 is {fast}, {settings.int8_speedup:g} are asked for, and loses {lost:.2%} of {figures['measure']} on "
        f"{asked:,} requests, {settings.int8_loss:.2%} are allowed"
    )
    holds = figures["speed"] >= settings.int8_speedup and lost <= settings.int8_loss and figures["fp32"] > 0
    return Choice("int8" if holds or settings.precision == "int8" else "fp32", _asked(settings, told), figures)


def _asked(settings: ExportConfig, told: str) -> str:
    return f"export.precision=int8; {told}" if settings.precision == "int8" else told


def seconds_each(calls: Sequence[Callable[[int], object]], rounds: int = _ROUNDS) -> list[float]:
    """Return the median over rounds of what each of some calls takes, by the clock of this thread.

    That clock stands while others have the processor, and the calls are timed in turn, in another order each round, so
    a busy machine changes their ratio little.

    Args:
        calls: each takes the number of the request.
        rounds: after one that warms up.
    """
    taken = np.empty((rounds + 1, len(calls)))
    for round_ in range(rounds + 1):
        for place in np.random.default_rng(round_).permutation(len(calls)):
            started = time.thread_time()
            for number in range(_BLOCK):
                calls[place](round_ * _BLOCK + number)
            taken[round_, place] = (time.thread_time() - started) / _BLOCK
    return [float(one) for one in np.median(taken[1:], axis=0)]


class Shipped:
    """The models that golden answers come from: torch where a graph is fp32, the graph itself where it is int8.

    An fp32 graph must repeat torch. An int8 one cannot, which ``measured`` in the manifest says how far; what it must
    repeat on the serving machine are its own answers on the machine where it was found good enough.
    """

    def __init__(self, torch: Models, graphs: Models, facts: dict[str, Any]) -> None:
        """Join the two.

        Args:
            torch: the trained modules.
            graphs: the bundle's.
            facts: ``models`` of the manifest.
        """
        own = {part for part in GRAPHS if facts[part] and facts[part].get("precision") == "int8"}
        self._text, self._user, self._reranker = (graphs if part in own else torch for part in GRAPHS)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return the unit text vector of each query, ``[texts, text_dim]``; zeros for an empty one."""
        return self._text.encode(texts)

    def users(self, inputs: UserInputs) -> tuple[Floats, Floats]:
        """Return unit user vectors ``[batch, dim]`` and intent probabilities ``[batch, 3]``."""
        return self._user.users(inputs)

    def score(self, context: str, items: NDArray[np.int32], features: Floats, intent: Floats) -> Floats:
        """Return the reranker's score of each candidate of one request, ``[candidates]``."""
        return self._reranker.score(context, items, features, intent)
