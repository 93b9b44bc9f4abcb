"""``mercato relevance CONFIG``: tower and cross-encoder on graded pairs, fold by fold, each skipped where it is done.

    pairs -> baselines -> warm -> tower-0, cross-0, tower-1, cross-1, ... -> relevance -> tower-final, cross-final

Each is a stage like any other (``pipeline.stage``): whole or absent, skipped where nothing that it depends on has
changed. A run that was cut off goes on with the fold it was in, from that training's last checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

from commerce.pairs import Pairs, fold_numbers
from configs.schema import Config
from pipeline.run_folder import RunFolder
from pipeline.run_stages import run_stage
from pipeline.stage import Outcome, Stage, Work

FINAL = "final"
"""Stands for a fold: trained with the queries of all folds, and measured on none."""
PAIRS, BASELINES, WARM, RELEVANCE = "pairs", "baselines", "warm", "relevance"
_TABLE = ("pairs", "columns", "grades", "tower_text", "cross_text", "folds", "validation_share")
_STEPS = ("list_products", "batch_lists", "weight_decay", "average", "precision")
_LISTS = ("start", "train_share", "at", *_STEPS)
_ANSWERS = ("tower_tokens", "tower_whole_tokens", "tower_scale", "tower_feedback", "tower_feedback_weight")
"""How a product and a query are read once the tower is trained."""
_TOWER = (*_ANSWERS, "tower_epochs", "tower_learning_rate", "tower_way")
_CROSS = (
    "cross_query_tokens",
    "cross_text_tokens",
    "cross_epochs",
    "cross_learning_rate",
    "cross_head_learning_rate",
    "cross_from",
    "pseudo_queries",
)
_WARM = (
    *(*_STEPS, *_ANSWERS),
    *("cross_query_tokens", "cross_text_tokens", "cross_learning_rate", "pseudo_queries"),
)
"""No share, epoch or other rate of what is learned from grades: a quarter of an hour is not to be spent on those."""
_ENCODER = ("text.encoder", "text.pooling", "text.item_prefix", "text.query_prefix")


@dataclass(frozen=True)
class FoldStage(Stage):
    """A training for one fold, or for ``FINAL``."""

    fold: str = ""

    @property
    def function(self) -> Callable[[Work], Outcome]:
        """The training, told its fold."""
        module = import_module(f"pipeline.relevance.{self.module}")
        return partial(module.train, fold=self.fold)


def tower_name(fold: str) -> str:
    """Return the name of the stage that trains the tower for a fold."""
    return f"tower-{fold}"


def cross_name(fold: str) -> str:
    """Return the name of the stage that trains the cross-encoder for a fold."""
    return f"cross-{fold}"


def warms(config: Config) -> bool:
    """Return whether the cross-encoder learns to read pairs before grades: where it starts from a bi-encoder."""
    settings = config.relevance
    plain = settings.cross_from == "encoder" and settings.start == "pretrained" and not config.ranking.encoder
    return settings.cross_encoder and plain and settings.pseudo_queries > 0


def run_relevance(config: Config, say: Callable[[str], None] = print) -> Path:
    """Run all stages that are not up to date; return the file with what was measured."""
    run = RunFolder(Path(config.run.folder), "relevance")
    run.root.mkdir(parents=True, exist_ok=True)
    run_stage(
        Stage(PAIRS, (*_of(_TABLE), "data.max_quarantine_share", "run.seed"), (), "relevance.pairs"), config, run, say
    )
    measured = [str(fold) for fold in fold_numbers(Pairs.read(run.stage(PAIRS) / "pairs.parquet"), config.relevance)]
    for stage in _stages(measured, config):
        run_stage(stage, config, run, say)
    return run.root / "relevance.json"


def _stages(measured: list[str], config: Config) -> list[Stage]:
    stages = [Stage(BASELINES, ("text", "relevance.tower_tokens", "run.seed"), (PAIRS,), "relevance.baselines")]
    warm = warms(config)
    models = (tower_name, cross_name) if config.relevance.cross_encoder else (tower_name,)
    of_tower = (*_of((*_LISTS, *_TOWER)), *_ENCODER, "run.seed")
    of_cross = (*_of((*_LISTS, *_CROSS)), *_ENCODER, "ranking.encoder", "run.seed")
    if warm:
        stages.append(Stage(WARM, (*_of(_WARM), *_ENCODER, "text.precision", "run.seed"), (PAIRS,), "relevance.warm"))
    trainings = {
        fold: [
            FoldStage(tower_name(fold), of_tower, (PAIRS,), "tower", fold),
            FoldStage(cross_name(fold), of_cross, (PAIRS, tower_name(fold), *([WARM] if warm else [])), "cross", fold),
        ][: len(models)]
        for fold in (*measured, FINAL)
    }
    stages += [stage for fold in measured for stage in trainings[fold]]
    after = [name(fold) for fold in measured for name in models]
    sections = (
        *_of(("measured_folds", "train_share", "cross_encoder", "at", "start")),
        *("evaluate.bootstrap", "evaluate.confidence", "text.encoder", "run.name"),
    )
    stages.append(Stage(RELEVANCE, (*sections, "run.seed"), (PAIRS, BASELINES, *after), "relevance.measure"))
    return [*stages, *(trainings[FINAL] if config.relevance.final else [])]


def _of(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"relevance.{name}" for name in names)
