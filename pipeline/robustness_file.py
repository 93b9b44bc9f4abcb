"""``robustness.json``: what ``mercato robustness`` measured."""

from __future__ import annotations

from pipeline.measured_file import MeasuredFile
from pipeline.stage import NOISE

ROBUSTNESS = MeasuredFile(NOISE, 2, ("prepare", "adapt", "embed", "retrieve", "train-ranker"), "robustness")
