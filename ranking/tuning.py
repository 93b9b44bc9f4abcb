"""Which weights of the language model a reranker's training changes."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from configs.schema import RankingConfig
from learning.adapters import insert_adapters


def choose_weights(encoder: PreTrainedModel, settings: RankingConfig) -> None:
    """Freeze what ``ranking.tuning`` leaves as it is, before the encoder is taken apart; what it gives is unchanged.

    Its dropout becomes ``ranking.text_dropout``, where that is set.
    """
    if settings.text_dropout is not None:
        for part in encoder.modules():
            if isinstance(part, nn.Dropout):
                part.p = settings.text_dropout
    if settings.tuning == "lora":
        insert_adapters(
            encoder,
            rank=settings.lora_rank,
            alpha=settings.lora_alpha,
            dropout=settings.lora_dropout,
            section="ranking",
        )
    elif settings.tuning == "frozen_lower":
        blocks: Any = encoder.encoder
        for part in (encoder.embeddings, *blocks.layer[: settings.frozen_layers]):
            part.requires_grad_(False)
