"""Where a run lives, and where it is followed."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from configs.ranges import at_least, shares, some_of


@dataclass
class RunConfig:
    """Where a run lives and what it may use."""

    name: str = MISSING
    """Name of the run; the config's file name unless set."""
    folder: str = "runs/${run.name}"
    """Run folder: every stage reads files of it and writes files to it."""
    seed: int = 0
    """Seed of everything random: splits by hash, initial weights, negatives, dropout, bootstrap."""
    threads: int = 0
    """Threads of torch, FAISS, DuckDB and ONNX Runtime each; 0 takes every core."""

    def __post_init__(self) -> None:
        at_least("run", self, 0, ("seed", "threads"))


@dataclass
class TrackingConfig:
    """Experiment tracking and the model registry (MLflow)."""

    uri: str = "sqlite:///runs/mlflow.db"
    """MLflow tracking URI."""
    experiment: str = "${run.name}"
    """MLflow experiment."""
    model: str = "mercato-${run.name}"
    """Registered model's name."""
    loggers: list[str] = field(default_factory=lambda: ["mlflow"])
    """Training loggers: ``mlflow``, ``tensorboard``, ``csv``, ``wandb``."""
    guard_metrics: list[str] = field(default_factory=lambda: ["ndcg", "recall"])
    """Measures in which a candidate may not be worse than the champion, at the headline's cut-off."""
    guard_margin: float = 0.05
    """How much lower a candidate may be over all requests, as a share of what the champion reaches: the whole paired
    interval has to lie above minus this."""
    guarded_segments: list[str] = field(default_factory=list)
    """Segments in which it may not be worse either, by their names in ``metrics.json``, such as ``user: new``."""
    guard_segment_margin: float = 0.1
    """The same margin in a guarded segment, where fewer users tell less."""

    def __post_init__(self) -> None:
        known = ("ndcg", "recall", "precision", "binary_ndcg", "mrr", "hit_rate", "map")
        some_of("tracking", self, "guard_metrics", known)
        if not self.guard_metrics:
            raise ValueError("tracking.guard_metrics is empty, so nothing would be guarded; name one, e.g. ndcg")
        shares("tracking", self, ("guard_margin", "guard_segment_margin"))
        some_of("tracking", self, "loggers", ("mlflow", "tensorboard", "csv", "wandb"))
