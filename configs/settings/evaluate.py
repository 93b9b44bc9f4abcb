"""Measuring and exporting."""

from __future__ import annotations

from dataclasses import dataclass, field

from configs.ranges import at_least, one_of, shares, some_of


@dataclass
class EvaluateConfig:
    """What is measured, on whom, against whom."""

    at: list[int] = field(default_factory=lambda: [5, 10, 20, 50, 100])
    """Cut-offs k."""
    segments_at: list[int] = field(default_factory=lambda: [10])
    """Cut-offs k in segments."""
    segments: list[str] = field(default_factory=list)
    """Features that segments are made by, beside those that every shop has: ``user:NAME`` or ``item:NAME`` of any
    declared feature, the ``sensitive`` ones too. Categories go by value, numbers by quartile."""
    segment_min_users: int = 50
    """Values of a feature with fewer users are joined as ``other``."""
    filter_seen: bool = False
    """Whether items of the visible history with a target action are taken out of every list and of the relevant items;
    requests that this leaves without relevant items are dropped and counted."""
    new_items_too: bool = False
    """Also write ``metrics_new_items.json``: the same measurement with ``filter_seen`` turned on."""
    targets: dict[str, float] = field(default_factory=dict)
    """Action -> gain; empty: ``prepare.targets``."""
    item_group: str = ""
    """One of ``data.item_categorical`` (seller, say) whose values are groups that should be shown alike."""
    baselines: list[str] = field(default_factory=lambda: ["popularity", "item_knn", "personal_frequency", "bm25"])
    """Baselines that run beside, on the same requests."""
    bootstrap: int = 1000
    """Resamples of users behind each interval."""
    confidence: float = 0.95
    """Of the intervals."""
    max_requests: int = 0
    """Requests evaluated at most, users chosen by hash; 0: all."""
    source_requests: int = 2000
    """Requests, at most, on which the blend is made again without each candidate source, to say what it adds; users
    chosen by hash; 0: this is not measured."""

    def __post_init__(self) -> None:
        for name in ("at", "segments_at"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise ValueError(f"evaluate.{name} must be cut-offs of at least 1, got {list(getattr(self, name))}")
        some_of("evaluate", self, "baselines", ("popularity", "item_knn", "personal_frequency", "bm25"))
        at_least("evaluate", self, 1, ("bootstrap", "segment_min_users"))
        at_least("evaluate", self, 0, ("max_requests", "source_requests"))
        if not 0 < self.confidence < 1:
            raise ValueError(f"evaluate.confidence is a share and must lie between 0 and 1, got {self.confidence}")


@dataclass
class ExportConfig:
    """The sealed bundle for the serving team."""

    golden_requests: int = 60
    """Golden requests in the manifest, at least 50."""
    include_histories: bool = True
    """Whether the bundle carries user histories (under keyed hashes); else callers send events."""
    hash_key_variable: str = "MERCATO_HASH_KEY"
    """Environment variable that holds the key of the user-id hashes."""
    top: int = 10
    """Items per golden answer."""
    audit: str = "refuse"
    """What becomes of findings of ``mercato audit`` in the new bundle, report or metrics: ``refuse`` or ``warn``."""
    rare_queries: str = "vectors"
    """Of searches that fewer than ``text.terms_min_users`` users typed, in the bundle's histories: ``vectors`` (no
    text; answers are the pipeline's own) or ``none`` (as if no words had been typed)."""
    opt_out: str = ""
    """File with a user id a line: these are not profiled, and the bundle carries the list as keyed hashes."""
    precision: str = "measured"
    """Of the graphs in the bundle: ``fp32``; ``int8``; ``measured`` takes int8 where ``int8_speedup`` and ``int8_loss``
    hold on this machine, part by part (docs/bundle.md)."""
    int8_speedup: float = 1.7
    """How many times as fast as fp32 an int8 graph is at least, one request on one thread."""
    int8_loss: float = 0.005
    """Share of fp32's Recall@10 (text encoder, user tower) or NDCG@10 (reranker) that int8 may lose."""
    precision_requests: int = 500
    """Requests of the gate's half of validation by which the loss is measured, at most."""

    def __post_init__(self) -> None:
        if self.golden_requests < 50:
            raise ValueError(
                f"export.golden_requests is {self.golden_requests}, but at least 50 are needed to cover every kind of "
                "request"
            )
        one_of("export", self, "precision", ("measured", "fp32", "int8"))
        one_of("export", self, "audit", ("refuse", "warn"))
        one_of("export", self, "rare_queries", ("vectors", "none"))
        at_least("export", self, 1, ("top", "int8_speedup", "precision_requests"))
        shares("export", self, ("int8_loss",))
