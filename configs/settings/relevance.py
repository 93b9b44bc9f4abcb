"""Search relevance."""

from __future__ import annotations

from dataclasses import dataclass, field

from configs.ranges import above, at_least, below, one_of, shares
from configs.settings.precisions import PRECISIONS


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
    tower_whole_tokens: int = 96
    """Once trained, the tower also reads ``cross_text`` of a product, up to so many tokens, and the product's vector is
    the mean of both; 0: it does not."""
    tower_feedback: int = 10
    """Products nearest to a query that its vector moves towards once the tower is trained; 0: none."""
    tower_feedback_weight: float = 0.3
    """Weight of their mean beside the query's own vector."""
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
    pseudo_queries: int = 5000
    """Queries made of product titles, at most, on which the cross-encoder first learns to score as the untuned text
    encoder does: that has never read two texts as a pair. No grade is needed for it, and it is done once for all folds.
    0: none; nor where it starts from a tower, from ``ranking.encoder`` or at random."""
    cross_from: str = "encoder"
    """What the cross-encoder starts from: ``encoder`` (``ranking.encoder``, else ``text.encoder``) or ``tower`` (as
    tuned for the fold)."""
    weight_decay: float = 0.01
    """AdamW's decay; biases and norms are exempt."""
    average: float = 0.1
    """Mean age, as a share of the steps so far, of the moving average of the weights that is kept; 0: none."""
    precision: str = "auto"
    """``fp32``, ``bf16`` (autocast) or ``auto``, bf16 where the hardware multiplies it: for training and scoring."""

    def __post_init__(self) -> None:
        one_of("relevance", self, "start", ("pretrained", "random"))
        one_of("relevance", self, "cross_from", ("tower", "encoder"))
        one_of("relevance", self, "precision", PRECISIONS)
        at_least("relevance", self, 2, ("folds", "list_products"))
        at_least("relevance", self, 1, ("at", "batch_lists", "tower_epochs", "cross_epochs"))
        at_least("relevance", self, 8, ("tower_tokens", "cross_query_tokens", "cross_text_tokens"))
        at_least("relevance", self, 0, ("weight_decay", "pseudo_queries", "tower_feedback", "tower_feedback_weight"))
        if self.tower_whole_tokens and self.tower_whole_tokens < 8:
            raise ValueError(f"relevance.tower_whole_tokens must be 0 or at least 8, got {self.tower_whole_tokens}")
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
