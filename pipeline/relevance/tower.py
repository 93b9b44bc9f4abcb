"""Tower: the text encoder tuned on the pairs of all folds but one, and what it says of that one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from commerce.pairs import Pairs
from configs.schema import RelevanceConfig
from learning.encoder_folder import EncoderFolder, open_encoder
from learning.language_model import TextEncoder
from pipeline.relevance.answers import tower_scores
from pipeline.relevance.parts import fit, open_part, start_encoder
from pipeline.stage import Outcome, Work
from towers.graded import LINE, LINE_LEARNING_RATE, GradedTower


def train(work: Work, fold: str) -> Outcome:
    """Write the tuned encoder, a folder that ``text.encoder`` takes, and scores of validation and measured pairs."""
    config, settings = work.config, work.config.relevance
    part = open_part(work, fold)
    folder = open_encoder(replace(config.text, max_tokens=settings.tower_tokens))
    tower = tower_on(part.pairs, start_encoder(folder, settings.start, config.run.seed), folder, settings)
    # Between random weights and tuned ones lies nothing of use.
    way = settings.tower_way if settings.start == "pretrained" else 1.0
    rates = dict.fromkeys(LINE, LINE_LEARNING_RATE)
    answer = partial(tower_scores, part.pairs, tower.encoder, folder, settings)
    return fit(work, part, tower, folder, cross=False, rates=rates, way=way, answer=answer)


def tower_on(pairs: Pairs, encoder: TextEncoder, folder: EncoderFolder, settings: RelevanceConfig) -> GradedTower:
    """Return the tower over some pairs, with the encoder's weights; ``folder`` has its tokenizer."""
    grades = float(pairs.grade.min()), float(pairs.grade.max())
    texts = pairs.queries, pairs.tower_text
    return GradedTower(encoder, folder, pairs.query, *texts, settings.tower_scale, grades)
