"""Cross: the cross-encoder tuned on the pairs of all folds but one, and what it says of that one."""

from __future__ import annotations

from dataclasses import replace

import torch

from commerce.pairs import Pairs
from configs.errors import InputError
from configs.schema import RelevanceConfig
from learning.encoder_folder import EncoderFolder, open_encoder
from learning.language_model import TextEncoder
from learning.tokens import load_tokenizer
from pipeline.relevance.parts import ENCODER, fit, open_part, start_encoder
from pipeline.relevance.stages import WARM, tower_name, warms
from pipeline.stage import Outcome, Work
from ranking.graded import HEAD, GradedCrossEncoder
from ranking.pairs import PairTokenizer

HEAD_FILE = "head.pt"


def train(work: Work, fold: str) -> Outcome:
    """Write the tuned language model, a folder that ``ranking.encoder`` takes, its head, and the scores of pairs."""
    config, settings = work.config, work.config.relevance
    part = open_part(work, fold)
    folder, warmed = _folder(work, fold), warms(config)
    start = "pretrained" if settings.cross_from == "tower" else settings.start
    encoder = start_encoder(folder, start, config.run.seed)
    torch.manual_seed(config.run.seed)  # of the head
    try:
        cross = cross_on(part.pairs, encoder, folder, settings)
    except ValueError as error:
        raise InputError(f"{folder.path}: {error}; or set relevance.cross_encoder=false") from error
    if warmed:
        cross.head.load_state_dict(torch.load(work.run.stage(WARM) / HEAD_FILE, weights_only=True))
    rates = {} if warmed else {HEAD: settings.cross_head_learning_rate}
    told = fit(work, part, cross, folder, cross=True, rates=rates)
    torch.save(cross.head.state_dict(), work.out / HEAD_FILE)
    return told


def cross_on(
    pairs: Pairs, encoder: TextEncoder, folder: EncoderFolder, settings: RelevanceConfig
) -> GradedCrossEncoder:
    """Return the cross-encoder over some pairs, its head drawn; ``folder`` has its tokenizer.

    Raises:
        ValueError: for an encoder of a kind or pooling that it cannot be.
    """
    grades = float(pairs.grade.min()), float(pairs.grade.max())
    texts = pairs.queries, pairs.cross_text
    return GradedCrossEncoder(encoder, pair_tokenizer(folder, settings), pairs.query, *texts, grades)


def pair_tokenizer(folder: EncoderFolder, settings: RelevanceConfig) -> PairTokenizer:
    """Return the encoder's own tokenizer of pairs, with where the config cuts both texts."""
    query_tokens, text_tokens = settings.cross_query_tokens, settings.cross_text_tokens
    return PairTokenizer(load_tokenizer(folder.path, query_tokens + text_tokens), query_tokens, text_tokens)


def _folder(work: Work, fold: str) -> EncoderFolder:
    """Return the language model to start from: as warmed, the fold's tower, or what the config names."""
    config, settings = work.config, work.config.relevance
    named = config.ranking.encoder or config.text.encoder
    if warms(config):
        named = str(work.run.stage(WARM) / ENCODER)
    if settings.cross_from == "tower":
        named = str(work.run.stage(tower_name(fold)) / ENCODER)
    return open_encoder(replace(config.text, encoder=named))
