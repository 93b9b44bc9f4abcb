"""Cross: the cross-encoder tuned on the pairs of all folds but one, and what it says of that one."""

from __future__ import annotations

from dataclasses import replace

import torch

from configs.errors import InputError
from learning.encoder_folder import EncoderFolder, open_encoder
from learning.tokens import load_tokenizer
from pipeline.relevance.parts import ENCODER, fit, open_part, start_encoder
from pipeline.relevance.stages import tower_name
from pipeline.stage import Outcome, Work
from ranking.graded import HEAD, GradedCrossEncoder
from ranking.pairs import PairTokenizer


def train(work: Work, fold: str) -> Outcome:
    """Write the tuned language model, a folder that ``ranking.encoder`` takes, its head, and the scores of pairs."""
    config, settings = work.config, work.config.relevance
    part = open_part(work, fold)
    folder = _folder(work, fold)
    pairs = part.pairs
    start = "pretrained" if settings.cross_from == "tower" else settings.start
    encoder = start_encoder(folder, start, config.run.seed)
    torch.manual_seed(config.run.seed)  # of the head
    tokenizer = load_tokenizer(folder.path, settings.cross_query_tokens + settings.cross_text_tokens)
    try:
        cross = GradedCrossEncoder(
            encoder,
            PairTokenizer(tokenizer, settings.cross_query_tokens, settings.cross_text_tokens),
            pairs.query,
            pairs.queries,
            pairs.cross_text,
            (float(pairs.grade.min()), float(pairs.grade.max())),
        )
    except ValueError as error:
        raise InputError(f"{folder.path}: {error}; or set relevance.cross_encoder=false") from error
    told = fit(work, part, cross, folder, cross=True, rates={HEAD: settings.cross_head_learning_rate})
    torch.save(cross.head.state_dict(), work.out / "head.pt")
    return told


def _folder(work: Work, fold: str) -> EncoderFolder:
    """Return the language model to start from: the fold's tower, or what the config names."""
    config, settings = work.config, work.config.relevance
    named = config.ranking.encoder or config.text.encoder
    if settings.cross_from == "tower":
        named = str(work.run.stage(tower_name(fold)) / ENCODER)
    return open_encoder(replace(config.text, encoder=named))
