"""A cross-encoder that learns another model's scores, before there are grades: what a bi-encoder knows, read as pairs.

A sentence encoder has never seen two texts in one row, and some thousand graded pairs are few to teach it that. Taught
first by the encoder's own cosines, on pairs that cost nothing, it starts from about the encoder's quality: the reverse
of augmented SBERT (Thakur et al. 2021).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from learning.graded_losses import distillation_loss, grade_loss
from learning.graded_training import GradedBatch
from ranking.graded import GradedCrossEncoder

STEPS = 12.0
"""Temperatures between the lowest and the highest of the teacher's scores: .05 where a sentence encoder's cosines span
.6."""


class DistilledCrossEncoder(GradedCrossEncoder):
    """Its pairs' grades are the teacher's scores; the lowest and highest told are where they count as 0 and 1."""

    def __init__(self, *told: Any) -> None:
        super().__init__(*told)
        self.temperature = (self.highest - self.lowest) / STEPS

    def loss(self, batch: GradedBatch) -> Tensor:
        """Return the loss of a step: the order of a query's products, and each score by itself."""
        scores = self._read(batch.rows)
        alone = grade_loss(
            scores, batch.grades.clamp(self.lowest, self.highest), batch.weights, self.highest, self.lowest
        )
        return alone + distillation_loss(scores, batch.grades, batch.query, self.temperature)
