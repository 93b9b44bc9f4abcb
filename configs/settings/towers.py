"""The two towers."""

from __future__ import annotations

from dataclasses import dataclass, field

from configs.ranges import above, at_least, below, one_of, shares, some_of
from configs.reads import TOWER_READS
from configs.settings.precisions import PRECISIONS


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
    """Tell attention the time between every two events, as a learnt bias (towers/relative_time.py). The user
    tower takes a fifth longer with 50 events of a history, four fifths with 200: it grows with their square."""
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
    """``fp32``, ``bf16`` (autocast) or ``auto``: bf16 where the hardware multiplies it."""
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
