"""How a run's config says that intervals are made."""

from __future__ import annotations

from commerce.intervals import Resampling
from configs.schema import Config


def resampling(config: Config) -> Resampling:
    """Return the keywords of ``bootstrap`` and ``paired``."""
    return Resampling(resamples=config.evaluate.bootstrap, confidence=config.evaluate.confidence, seed=config.run.seed)
