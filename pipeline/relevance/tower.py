"""Tower: the text encoder tuned on the pairs of all folds but one, and what it says of that one."""

from __future__ import annotations

from dataclasses import replace

from learning.encoder_folder import open_encoder
from learning.graded_training import train_graded
from pipeline.encoders import write_tuned
from pipeline.relevance.parts import (
    ENCODER,
    curve_line,
    graded_pairs,
    judge_of,
    open_part,
    pace_of,
    start_encoder,
    with_rates,
    write_scores,
)
from pipeline.stage import Outcome, Work
from towers.graded import LINE, LINE_LEARNING_RATE, GradedTower


def train(work: Work, fold: str) -> Outcome:
    """Write the tuned encoder, a folder that ``text.encoder`` takes, and scores of validation and measured pairs."""
    config, settings = work.config, work.config.relevance
    part = open_part(work, fold)
    folder = open_encoder(replace(config.text, max_tokens=settings.tower_tokens))
    tower = GradedTower(
        start_encoder(folder, settings.start, config.run.seed),
        folder,
        part.pairs.query,
        part.pairs.queries,
        part.pairs.tower_text,
        settings.tower_scale,
        (float(part.pairs.grade.min()), float(part.pairs.grade.max())),
    )
    pace = with_rates(pace_of(settings, config.run.seed, cross=False), dict.fromkeys(LINE, LINE_LEARNING_RATE))
    judge = judge_of(part, settings.at, config.run.seed)
    curve = train_graded(tower, graded_pairs(part), judge, pace, work.scratch())
    write_scores(part, tower.score(part.scored, settings.precision), curve, work.out)
    write_tuned(tower.encoder, folder, work.out / ENCODER)
    return Outcome([curve_line(work.name, part, curve, settings.at)])
