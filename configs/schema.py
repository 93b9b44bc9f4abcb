"""A whole run's settings: all sections, and what must fit between them. ``configs.settings`` tells what each means.

A YAML file holds only what differs from these defaults. ``pipeline`` alone sees the whole
:class:`Config`; an object takes its own section, a function plain values.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from configs.ranges import one_of, some_of
from configs.settings.bazaar import BazaarConfig
from configs.settings.data import DataConfig
from configs.settings.evaluate import EvaluateConfig, ExportConfig
from configs.settings.prepare import PrepareConfig, TextConfig
from configs.settings.ranking import AfterConfig, RankConfig, RankingConfig
from configs.settings.relevance import RelevanceConfig
from configs.settings.retrieval import GraphConfig, RetrievalConfig
from configs.settings.run import RunConfig, TrackingConfig
from configs.settings.towers import TowersConfig

__all__ = [
    "AfterConfig",
    "BazaarConfig",
    "Config",
    "DataConfig",
    "EvaluateConfig",
    "ExportConfig",
    "GraphConfig",
    "PrepareConfig",
    "RankConfig",
    "RankingConfig",
    "RelevanceConfig",
    "RetrievalConfig",
    "RunConfig",
    "TextConfig",
    "TowersConfig",
    "TrackingConfig",
]


@dataclass
class Config:
    """A whole run, section by section."""

    run: RunConfig = field(default_factory=RunConfig)
    data: DataConfig = field(default_factory=DataConfig)
    bazaar: BazaarConfig = field(default_factory=BazaarConfig)
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    text: TextConfig = field(default_factory=TextConfig)
    towers: TowersConfig = field(default_factory=TowersConfig)
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    graph: GraphConfig = field(default_factory=GraphConfig)
    ranking: RankingConfig = field(default_factory=RankingConfig)
    rank: RankConfig = field(default_factory=RankConfig)
    after: AfterConfig = field(default_factory=AfterConfig)
    relevance: RelevanceConfig = field(default_factory=RelevanceConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        data = self.data
        users = (*data.user_categorical, *data.user_numeric, *data.sensitive)
        items = (*data.item_categorical, *data.item_numeric, *((data.item_category,) if data.item_category else ()))
        known = dict.fromkeys([*(f"user:{name}" for name in users), *(f"item:{name}" for name in items)])
        some_of("evaluate", self.evaluate, "segments", tuple(known))
        one_of("retrieval", self.retrieval, "popularity_by", ("", *data.modelled_categories))
        groups = (*data.item_categorical, *((data.item_category,) if data.item_category else ()))
        one_of("evaluate", self.evaluate, "item_group", tuple(dict.fromkeys(["", *groups])))
        if self.after.floors and not self.evaluate.item_group:
            raise ValueError(
                "after.floors names groups of items, so evaluate.item_group must say which column has them"
            )
        if self.after.per_category and not data.item_category:
            raise ValueError("after.per_category counts items of a category; name its column in data.item_category")
        if self.rank.value and data.items_only:
            raise ValueError(
                f"rank.value={self.rank.value} orders by probabilities, which a log teaches, but data.events is none; "
                "leave it empty"
            )
        if self.text.vectors == "disk" and self.towers.tuning != "frozen":
            raise ValueError(
                f"text.vectors=disk keeps vectors as they are, but towers.tuning={self.towers.tuning} changes them; "
                "set text.vectors=memory or towers.tuning=frozen"
            )
