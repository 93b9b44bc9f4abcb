"""Candidates: the index, the other sources, the graph."""

from __future__ import annotations

from dataclasses import dataclass, field

from configs.ranges import above, at_least, one_of, shares, some_of


@dataclass
class RetrievalConfig:
    """From vectors to some hundred candidates."""

    candidates: int = 200
    """Candidates kept per request after blending."""
    per_source: int = 200
    """Candidates asked of each source."""
    sources: list[str] = field(default_factory=lambda: ["vectors", "associations", "tastes", "repeats", "popularity"])
    """Candidate sources, blended by reciprocal rank: of ``vectors`` (the towers), ``associations`` (what goes with the
    last items), ``tastes`` (what the whole history speaks for), ``repeats``, ``popularity`` and ``lexical`` (search
    terms in product texts, by BM25; a serving machine then needs the extra ``lexical``)."""
    rank_constant: float = 60.0
    """k of reciprocal rank fusion, 1 / (k + rank)."""
    blend: str = "learned"
    """``learned``: weights of the sources, and the rank constant, are fitted on the ``fit`` half of the validation
    window, for each protocol (repeats, new items) by itself. ``equal``: every source weighs 1."""
    blend_requests: int = 10000
    """Requests on which a learned blend is fitted, at most."""
    variants: str = "all"
    """``one``: of items that are declared variants of one another only the best-blended stands in a list (a variant of
    a variant is a variant), in the candidates, in what is measured and in the bundle's answers; ``all``: every variant
    may stand beside the others. What ``one`` costs in recall: docs/candidates.md."""
    associations_halflife: float = 2.0
    """Moments (baskets, say) of a history after which an item's say in ``associations`` is halved."""
    associations_reach: int = 20
    """Events of one user that stand at most this far apart are counted as a pair."""
    associations_days: float = 60.0
    """Days, up to the last one counted, whose events make pairs; 0 counts everything before the window."""
    associations_forward: float = 3.0
    """How many times more a pair counts from the earlier item to the later one than back."""
    neighbours: int = 100
    """Associated items kept per item."""
    tastes_items: int = 2000
    """Items that ``tastes`` (a linear map over whole histories) knows, the most popular; work grows with its cube."""
    tastes_ridge: float = 4.0
    """Ridge of ``tastes``, in multiples of the mean number of users of an item."""
    tastes_neighbours: int = 200
    """Weights kept per item in ``tastes``."""
    popularity_days: float = 30.0
    """Days, up to the last one counted, over which popularity is counted; 0 counts everything before the window."""
    popularity_by: str = ""
    """One of ``data.user_categorical`` that is not sensitive (region, say): ``popularity`` then is what users of the
    same category chose, mixed with what all did. Empty: the same for everybody, as the baseline ``popularity`` is."""
    popularity_prior: float = 500.0
    """Choices of all users that those of a category are mixed with: one with few of its own is much like the whole."""
    repeats_halflife_days: float = 80.0
    """Days after which an event of the user's own counts half in ``repeats``."""
    repeats_others: float = 0.1
    """What an event of an action that is no target counts in ``repeats``; a target counts its weight."""
    block: int = 256
    """Requests answered together; bounds memory, changes nothing."""
    target_recall: float = 0.95
    """Share of the true list that the index surely brings up, on average over requests, in lists of ``at_k``; 1 is
    exact search. What surely means: docs/index.md."""
    at_k: int = 200
    """Length of the lists that the promise holds for; for the whole of ``per_source`` it should be no shorter."""
    exact_below_ms: float = 10.0
    """Exact search it is, whatever the promise, where that answers one request within so many milliseconds on one
    thread: a million items 64 wide, about. 0 always looks for something faster."""
    index_budget_gb: float = 0.0
    """Memory that the index may take, in GB (10^9 bytes); 0 does not bound it. The raw vectors that answers are scored
    again from lie on disk, memory-mapped, and do not count."""
    tune_for: str = "latency"
    """``latency``: one request at a time on one thread; ``throughput``: batches on all threads."""
    index_families: list[str] = field(default_factory=lambda: ["flat", "ivf-flat", "ivf-sq8", "ivf-pq", "hnsw"])
    """Kinds of FAISS index that are built and compared. ``hnsw`` takes longest to build."""
    shard_items: int = 2_000_000
    """Items that one index holds at most; more are divided into shards that are built one after another and searched
    from disk, so that memory does not grow with the catalogue (docs/index.md)."""
    index_queries: int = 1000
    """Requests of a window on which recall is measured, at most: validation to choose, test to measure again."""

    def __post_init__(self) -> None:
        known = ("vectors", "associations", "tastes", "repeats", "popularity", "lexical")
        some_of("retrieval", self, "sources", known)
        if not self.sources:
            raise ValueError("retrieval.sources names none; at least one must find candidates")
        one_of("retrieval", self, "blend", ("learned", "equal"))
        one_of("retrieval", self, "variants", ("one", "all"))
        counts = ("candidates", "per_source", "neighbours", "associations_reach", "tastes_items", "tastes_neighbours")
        at_least("retrieval", self, 1, (*counts, "block", "blend_requests", "at_k", "shard_items"))
        some_of("retrieval", self, "index_families", ("flat", "ivf-flat", "ivf-sq8", "ivf-pq", "hnsw"))
        one_of("retrieval", self, "tune_for", ("latency", "throughput"))
        shares("retrieval", self, ("target_recall",))
        above("retrieval", self, 0, ("target_recall",))
        at_least("retrieval", self, 0, ("exact_below_ms", "index_budget_gb"))
        at_least("retrieval", self, 50, ("index_queries",))
        lengths = ("associations_halflife", "repeats_halflife_days", "associations_forward", "tastes_ridge")
        above("retrieval", self, 0, lengths)
        at_least("retrieval", self, 0, ("rank_constant", "associations_days", "popularity_days", "repeats_others"))
        above("retrieval", self, 0, ("popularity_prior",))


@dataclass
class GraphConfig:
    """The association graph, ``graph.parquet``: which items are bought together, and which are looked at instead."""

    neighbours: int = 20
    """Edges kept per item, kind and measure, the strongest; 0: no graph is counted."""
    min_support: int = 2
    """Distinct users who met both items, at least."""
    period_days: float = 28.0
    """What a user buys within one period of so many days makes complements."""
    group_items: int = 30
    """Items of such a period, or of a session of viewing, that are paired, the latest: a bound on the work."""
    swing_groups: int = 50
    """Periods or sessions of an item that Swing compares, the latest: a bound on the work."""
    swing_alpha: float = 1.0
    """Swing's smoothing; the larger, the less a pair counts for more where its users share little else."""
    halflife_days: float = 60.0
    """Days before the last event counted after which a meeting counts half in the measure ``cosine``."""
    text_neighbours: int = 10
    """Edges, by the likeness of texts, of an item that nobody has met yet; 0: it has none."""

    def __post_init__(self) -> None:
        at_least("graph", self, 0, ("neighbours", "text_neighbours"))
        at_least("graph", self, 1, ("min_support", "swing_groups"))
        at_least("graph", self, 2, ("group_items",))
        above("graph", self, 0, ("period_days", "swing_alpha", "halflife_days"))
