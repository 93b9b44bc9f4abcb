"""The shop's tables."""

from __future__ import annotations

from dataclasses import dataclass, field

from configs.ranges import above, one_of, shares


@dataclass
class DataConfig:
    """Which tables come in, and what the shop's own words mean."""

    reader: str = "tables"
    """``tables`` (files of any shop), ``complete_journey``, ``sequences`` (leave-last-out files) or ``bazaar``."""
    folder: str = ""
    """Folder of the ``sequences`` reader; the folder that relative table paths start from for ``tables``."""
    events: str = ""
    """Events table: a Parquet, CSV or JSON-lines file, a folder of them, or a glob. ``none``: the shop has no log yet,
    and gets a bundle that answers search terms from product texts alone."""
    items: str = ""
    """Items table, same forms."""
    users: str = ""
    """Users table, same forms; optional."""
    relations: str = ""
    """Declared relations between items, same forms; optional."""
    event_columns: dict[str, str] = field(default_factory=dict)
    """Our column name -> the shop's, for events, where they differ."""
    item_columns: dict[str, str] = field(default_factory=dict)
    """Our column name -> the shop's, for items."""
    user_columns: dict[str, str] = field(default_factory=dict)
    """Our column name -> the shop's, for users."""
    relation_columns: dict[str, str] = field(default_factory=dict)
    """Our column name -> the shop's, for relations."""
    actions: dict[str, str] = field(default_factory=dict)
    """The shop's word for an action -> ours (search, impression, view, favorite, cart, purchase)."""
    event_intent: str = ""
    """Events column with the shop's own labels of what a visitor was about; empty: labels by rule
    (``prepare.intent_*``, docs/intent.md)."""
    intents: dict[str, str] = field(default_factory=dict)
    """The shop's word for an intent -> ours (browse, compare, buy)."""
    timezone: str = ""
    """Zone of times that carry none, e.g. ``Asia/Shanghai``. Empty: zone-less times are refused."""
    time_unit: str = ""
    """What numeric times count since 1970 UTC: ``s``, ``ms`` or ``us``. Empty: numeric times are refused."""
    max_quarantine_share: float = 0.01
    """Share of bad rows in a table above which the run stops."""
    memory_gb: float = 2.0
    """Memory that DuckDB may hold while it reads and sorts tables, in GB; beyond it, it spills to the run folder."""
    item_text: list[str] = field(default_factory=lambda: ["title"])
    """Item columns that make the product text, in order; ``a|b`` takes b where a is empty."""
    item_categorical: list[str] = field(default_factory=list)
    """Item columns read as categories."""
    item_numeric: list[str] = field(default_factory=list)
    """Item columns read as numbers."""
    item_vector: str = ""
    """Item column holding a vector made elsewhere (by an image encoder, say)."""
    item_category: str = ""
    """Item column with the category path, levels parted by `` > ``; its last level is the leaf."""
    user_categorical: list[str] = field(default_factory=list)
    """User columns read as categories."""
    user_numeric: list[str] = field(default_factory=list)
    """User columns read as numbers."""
    sensitive: list[str] = field(default_factory=list)
    """User columns kept out of every model, text and explanation."""
    sensitive_categories: list[str] = field(default_factory=list)
    """Categories (a level of the path, or levels joined by `` > ``) whose items give no tags, no explanations and no
    text to the reranker's context; needs ``item_category``."""
    blocked: str = ""
    """File with an item id a line: these are shown to nobody, whatever finds them (docs/privacy.md)."""

    @property
    def modelled_categories(self) -> list[str]:
        """User columns that models read as categories, in the order of their codes: the sensitive ones are left out."""
        return [name for name in self.user_categorical if name not in self.sensitive]

    @property
    def items_only(self) -> bool:
        """Whether the shop has no log."""
        return self.reader == "tables" and self.events == "none"

    def __post_init__(self) -> None:
        one_of("data", self, "time_unit", ("", "s", "ms", "us"))
        if self.intents and not self.event_intent:
            raise ValueError("data.intents maps the words of a column that data.event_intent does not name")
        shares("data", self, ("max_quarantine_share",))
        above("data", self, 0, ("memory_gb",))
        if self.sensitive_categories and not self.item_category:
            raise ValueError("data.sensitive_categories needs data.item_category, the column that holds the path")
