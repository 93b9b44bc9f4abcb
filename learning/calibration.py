"""The calibration error of ``commerce.calibration`` on tensors, for use while a model trains.

A torchmetrics class as in ``learning.metrics``; sources and clashes of terms stand beside the NumPy functions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class CalibrationError(Metric):
    """Mean over moments of |share in which it happened - mean probability| of their bin, over bins of equal mass.

    Bins of equal mass are known only once all moments are, so all of them are kept, 16 bytes each, and gathered over
    ranks (each moment must reach one rank only).

    Args:
        bins: at most; equal probabilities share a bin.
        options: torchmetrics' own.

    Raises:
        ValueError: for fewer than one bin.
    """

    full_state_update = False
    higher_is_better = False
    is_differentiable = False
    probabilities: list[Tensor]
    happened: list[Tensor]

    def __init__(self, bins: int, **options: Any) -> None:
        super().__init__(**options)
        if bins < 1:
            raise ValueError(f"at least one bin is needed, got {bins}")
        self.bins = bins
        self.add_state("probabilities", [], dist_reduce_fx="cat")
        self.add_state("happened", [], dist_reduce_fx="cat")
        # A rank without moments sends an empty tensor of the metric's own type, so everything kept is of that type.
        self.set_dtype(torch.float64)

    def update(self, probabilities: Tensor, happened: Tensor) -> None:
        """Add moments.

        Args:
            probabilities: float ``[moments]``.
            happened: bool ``[moments]``, whether what the probability is about came true.

        Raises:
            ValueError: if the shapes differ, or with numbers that are no probabilities.
        """
        if probabilities.shape != happened.shape or probabilities.ndim != 1:
            raise ValueError(
                f"expected one outcome per probability, got {tuple(happened.shape)} outcomes and "
                f"{tuple(probabilities.shape)} probabilities"
            )
        # Softmax in float32 may add up to a little above 1.
        if not ((probabilities >= 0) & (probabilities <= 1 + 1e-5)).all():
            raise ValueError(
                f"probabilities lie between 0 and 1, got {probabilities.min()} to {probabilities.max()}; pass them, "
                "not scores or logits"
            )
        self.probabilities.append(probabilities.detach().double())
        self.happened.append(happened.double())

    def compute(self) -> Tensor:
        """Return the error over all moments seen, float64, between 0 and 1; NaN before any."""
        if not len(self.probabilities):
            return torch.full((), torch.nan, dtype=torch.float64, device=self.device)
        given, order = dim_zero_cat(self.probabilities).sort()
        happened = dim_zero_cat(self.happened)[order]
        moments = len(given)
        if not moments:
            return given.new_full((), torch.nan)
        ends = torch.linspace(0, moments, self.bins + 1, dtype=torch.float64, device=given.device)[1:].round().long()
        ends = torch.searchsorted(given, given[ends.clamp(min=1) - 1], right=True)
        # Where equal probabilities joined bins, an end stands there again and adds nothing. A bin's moments times its
        # distance is |how often it happened - the sum of its probabilities|.
        sums = (happened - given).cumsum(0)[ends - 1]
        return torch.diff(sums, prepend=sums.new_zeros(1)).abs().sum() / moments
