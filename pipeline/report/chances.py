"""How far the probabilities of views, carts and purchases can be believed, as the report shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from commerce.calibration import Reliability
from pipeline.report.figure import Figure
from pipeline.report.intents import Calibration
from pipeline.report.model_plots import reliability_figure


def chance_figures(metrics: dict[str, Any], confidence: float) -> Iterator[Figure]:
    """Draw the reliability of each action's probability on the ``gate`` half; nothing where none are told."""
    found = metrics.get("probabilities")
    for action, judged in (found or {}).get("actions", {}).items():
        diagram = Reliability(**{name: np.array(values) for name, values in judged["diagram"].items()})
        calibration = Calibration(action, diagram, judged["error"]["value"], judged["by_chance"])
        title = f"{action.capitalize()}, given {found['given']}"  # type: ignore[index]
        yield reliability_figure(f"chance-{action}", title, calibration, confidence, "exposures")
