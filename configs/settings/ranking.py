"""The order: cross-encoder, fusion, gate, and what comes after."""

from __future__ import annotations

from dataclasses import dataclass, field

from configs.ranges import above, at_least, below, one_of, shares, some_of
from configs.reads import RANKER_READS
from configs.settings.precisions import PRECISIONS


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
    batch_lists: int = 2
    """Lists of a training step, at most; each process reads as many. It decides how many steps an epoch has, which
    cheaper ``attention`` would otherwise take away (benchmarks/ranking)."""
    tokens_per_batch: int = 4096
    """Padded tokens in a batch, which bounds memory; a request with its candidates is never cut."""
    precision: str = "auto"
    """``fp32``, ``bf16`` (autocast) or ``auto``: bf16 where the hardware multiplies it."""
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
        at_least("ranking", self, 1, ("context_tokens", "epochs", "batch_lists", "tokens_per_batch"))
        at_least("ranking", self, 1, ("checkpoint_steps", "fit_users", "gate_users"))
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
