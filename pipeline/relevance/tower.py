"""Tower: the text encoder tuned on the pairs of all folds but one, and what it says of that one."""

from __future__ import annotations

from dataclasses import replace

from learning.encoder_folder import open_encoder
from pipeline.relevance.parts import fit, open_part, start_encoder
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
    # Between random weights and tuned ones lies nothing of use.
    way = settings.tower_way if settings.start == "pretrained" else 1.0
    return fit(work, part, tower, folder, cross=False, rates=dict.fromkeys(LINE, LINE_LEARNING_RATE), way=way)
