"""The verbs of the command line as a Python API."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.load import load_config
from pipeline.limits import limit_process
from pipeline.run_stages import run_stages
from pipeline.stage import NAMES

if TYPE_CHECKING:
    from serving.runtime import Runtime


class Run:
    """One config and its run folder.

    Example:
        run = Run("configs/bazaar.yaml", "towers.max_epochs=3")
        run.run()
        print(run.metrics()["systems"]["mercato"]["ndcg@10"])
        print(run.runtime().recommend(user="u17", k=5))
    """

    def __init__(self, config: str | Path, *overrides: str) -> None:
        """Read ``config`` with ``section.key=value`` overrides; raises ``ConfigError`` before any work."""
        self.overrides = overrides
        self.config = load_config(config, overrides)
        self.folder = Path(self.config.run.folder)
        limit_process(self.config.run.threads)

    def run(self, *stages: str, say: Callable[[str], None] = print) -> None:
        """Run the named stages, all by default; those that are up to date are skipped."""
        unknown = sorted(set(stages) - set(NAMES))
        if unknown:
            raise ValueError(f"no stage {', '.join(unknown)}; stages are {', '.join(NAMES)}")
        run_stages(self.config, stages or NAMES, say)

    def relevance(self, say: Callable[[str], None] = print) -> dict[str, Any]:
        """Tune and measure search relevance (``mercato relevance``); return what ``relevance.json`` holds."""
        from pipeline.relevance.stages import run_relevance

        measured: dict[str, Any] = json.loads(run_relevance(self.config, say).read_text())
        return measured

    def teach(self, control: bool = False, say: Callable[[str], None] = print) -> dict[str, Any]:
        """Let the reranker teach the towers, in ``RUN/taught`` (``mercato teach``); return ``teaching.json``."""
        from pipeline.teach import teach

        return teach(self.config, control, say)

    def robustness(self, strengths: Sequence[float] = (0.1, 0.3), requests: int = 1000) -> dict[str, Any]:
        """Measure the shipped order under noise in its texts (``mercato robustness``); return ``robustness.json``."""
        from pipeline.robustness import measure_robustness

        return measure_robustness(self.config, strengths, requests)

    def metrics(self) -> dict[str, Any]:
        """Return ``metrics.json`` as written by ``evaluate``."""
        metrics: dict[str, Any] = json.loads((self.folder / "metrics.json").read_text())
        return metrics

    def runtime(self) -> Runtime:
        """Open the bundle written by ``export``."""
        from serving.runtime import Runtime

        return Runtime(self.folder / "bundle")
