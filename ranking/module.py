"""Training of the cross-encoder: joins encoder, features and heads with the listwise loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from transformers import PreTrainedModel

from learning.gather import mean_of, share_of_mean
from learning.optimizer import parameter_groups, warmup_cosine
from ranking.adversarial import adversarial_loss
from ranking.batches import Batch
from ranking.collapse import spread_within_lists
from ranking.cross_encoder import CrossEncoder, empty_encoder
from ranking.full_attention import FullCrossEncoder
from ranking.losses import LOSSES
from ranking.pairs import PairJoin

WARMUP_SHARE = 0.1
"""Share of all steps in which the learning rate rises."""


class Ranker(L.LightningModule):
    """Puts a request's relevant candidates first.

    ``load_from_checkpoint`` needs nothing but the file: the encoder's shape travels in it.
    """

    def __init__(
        self,
        *,
        encoder: dict[str, Any],
        features: Sequence[str],
        sources: Sequence[str],
        context_tokens: int,
        item_tokens: int,
        width: int,
        dropout: float,
        learning_rate: float,
        head_learning_rate: float,
        weight_decay: float,
        steps: int,
        attention: str = "context_once",
        join: tuple[int, list[int]] = (1, []),
        loss: str = "softmax",
        adversarial: float = 0.0,
        weights: PreTrainedModel | None = None,
    ) -> None:
        """Build the cross-encoder.

        Args:
            encoder: the language model's configuration, as plain values.
            features: names of the numeric features, in order.
            sources: candidate sources behind the features, in order.
            context_tokens: most tokens of a context.
            item_tokens: most tokens of an item.
            width: of the layer in which text and numbers meet.
            dropout: on that layer.
            learning_rate: peak, of the language model.
            head_learning_rate: peak, of everything else.
            weight_decay: AdamW's; biases and norms are exempt.
            steps: of the whole training.
            attention: ``full`` reads each candidate together with the context, ``context_once`` each text once.
            join: a ``PairJoin``, how the tokenizer makes one text of two; ``full`` needs it.
            loss: one of ``LOSSES``.
            adversarial: length of the shift of word vectors that each step is taken once more with; 0: it is not.
            weights: the language model with its pretrained weights; None where a checkpoint brings them.
        """
        super().__init__()
        self.save_hyperparameters(ignore=["weights"])
        self.features, self.sources = tuple(features), tuple(sources)
        self.context_tokens, self.item_tokens = context_tokens, item_tokens
        self.learning_rate, self.head_learning_rate = learning_rate, head_learning_rate
        self.weight_decay, self.steps = weight_decay, steps
        self.loss_of_lists, self.adversarial = LOSSES[loss], adversarial
        language_model = weights if weights is not None else empty_encoder(encoder)
        shape = language_model, len(self.features), width, dropout
        self.cross_encoder: CrossEncoder | FullCrossEncoder = (
            FullCrossEncoder(*shape, PairJoin(*join)) if attention == "full" else CrossEncoder(*shape)
        )

    def forward(self, batch: Batch) -> Tensor:
        """Return the scores of lists, ``[lists, length]``, -inf past a list's end."""
        scores = self.cross_encoder.lists(batch)
        return scores.masked_fill(~batch.kept, float("-inf"))

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Return the mean loss over the lists of all ranks, and how far scores differ within this rank's lists."""
        summed, shifted, scores = self._losses(batch)
        lists = summed.new_tensor(float(len(batch.kept)))
        whole = mean_of(summed, lists)
        self.log("train/loss", whole, prog_bar=True, batch_size=len(batch.kept))
        spread = spread_within_lists(scores.detach().float().cpu().numpy(), batch.kept.cpu().numpy())
        return {"loss": share_of_mean(summed + shifted, lists), "whole": whole, "spread": spread}

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean loss of lists that a step descends: twice over, with ``adversarial``."""
        summed, shifted, _ = self._losses(batch)
        return (summed + shifted) / len(batch.kept)

    def _losses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the sum of the lists' losses, the same with shifted words (0 without ``adversarial``), and the
        scores of the former."""
        seen: list[Tensor] = []

        def summed() -> Tensor:
            seen.append(self(batch))
            return self.loss_of_lists(seen[-1], batch.gains, batch.kept) * len(batch.kept)

        if not (self.adversarial and self.training):
            plain = summed()
            return plain, torch.zeros_like(plain), seen[0]
        return *adversarial_loss(self.cross_encoder.words, summed, self.adversarial), seen[0]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW, slow in the pretrained language model and fast in the rest; a warm-up, then cosine decay."""
        groups = parameter_groups(
            self.cross_encoder,
            learning_rate=self.head_learning_rate,
            weight_decay=self.weight_decay,
            rates={"encoder.": self.learning_rate, "meeting.": self.learning_rate, "reader.": self.learning_rate},
        )
        optimizer = torch.optim.AdamW(groups)
        schedule = warmup_cosine(optimizer, self.steps, WARMUP_SHARE)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
