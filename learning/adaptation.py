"""An encoder adapted to a shop's own texts by guessing their hidden tokens, before anything else is trained with it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from configs.errors import InputError
from configs.schema import TextConfig
from learning.encode import token_batches
from learning.encoder_folder import EncoderFolder
from learning.finite import checked_loss
from learning.hardware import trainer_precision
from learning.language_model import TextEncoder
from learning.masked_language import MaskedBatch, MaskedModel, Masking, held_out_loss, load_masked_model
from learning.optimizer import parameter_groups, warmup_cosine
from learning.resume import Checkpoints, SeededSteps, StepSampler
from learning.tokens import load_tokenizer, token_ids

_HELD_OUT_SHARE, _MOST_HELD_OUT = 0.05, 2000
_LEAST_TEXTS = 20
_WARMUP_SHARE = 0.1
_WEIGHT_DECAY = 0.01
_HEAD_LEARNING_RATE = 1e-3
"""Of a head made anew, which has to catch up with an encoder that knows its language."""
_CHECKPOINT_STEPS = 200


@dataclass(frozen=True)
class Adapted:
    """What an adaptation came to."""

    encoder: TextEncoder
    texts: int
    """Distinct texts trained on."""
    held_out: int
    """Distinct texts held back."""
    before: float
    """Mean cross-entropy of hidden tokens in the texts held back, in nats."""
    after: float
    new_head: bool
    """Whether the head that guesses was made anew: the loss before is then that of chance."""


def adapt_encoder(folder: EncoderFolder, texts: Sequence[str], text: TextConfig, seed: int, scratch: Path) -> Adapted:
    """Train an encoder to guess hidden tokens of texts, going on from a checkpoint in ``scratch`` where there is one.

    Args:
        folder: of the encoder; left as it is.
        texts: prefixes included; a twentieth of the distinct ones, at most 2,000, is held back to judge by.
        text: the ``text`` section.
        seed: of everything random: a new head, the texts held back, order, hidden tokens, dropout.
        scratch: folder for checkpoints.

    Raises:
        InputError: if there are too few texts.
        EncoderError: if the encoder is of a kind that cannot learn so.
    """
    distinct = sorted({one for one in texts if one.strip()})
    if len(distinct) < _LEAST_TEXTS:
        raise InputError(
            f"text.adapt_steps is {text.adapt_steps}, but only {len(distinct)} distinct texts came where at least "
            f"{_LEAST_TEXTS} are needed; check data.item_text, or set text.adapt_steps=0"
        )
    rows = token_ids(load_tokenizer(folder.path, folder.max_tokens), distinct)
    order = np.random.default_rng([seed, 0xADA]).permutation(len(rows))
    few = min(_MOST_HELD_OUT, max(1, round(len(rows) * _HELD_OUT_SHARE)))
    held_out, trained = ([rows[row] for row in part] for part in (order[:few], order[few:]))

    torch.manual_seed(seed)
    model, masking = load_masked_model(folder), Masking(folder, text.adapt_mask_share)
    judge = partial(held_out_loss, tokens_per_batch=text.adapt_tokens_per_batch, precision=text.precision)
    before = judge(model, masking, held_out)
    _fit(_Training(model, text.adapt_learning_rate, text.adapt_steps), trained, masking, text, seed, scratch)
    after = judge(model, masking, held_out)
    return Adapted(model.encoder.cpu().eval(), len(trained), few, before, after, model.new_head)


class _Training(L.LightningModule):
    """Joins the model with its loss and optimiser."""

    def __init__(self, model: MaskedModel, learning_rate: float, steps: int) -> None:
        super().__init__()
        self.model, self.learning_rate, self.steps = model, learning_rate, steps

    def training_step(self, batch: MaskedBatch, batch_idx: int) -> Tensor:
        loss: Tensor = self.model(batch) / max(1, batch.hidden)
        checked_loss(float(loss), self.global_step, "text.adapt_learning_rate")
        self.log("adapt/loss", loss, prog_bar=True, batch_size=max(1, batch.hidden))
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Lightning's own clipping refuses a fused optimiser in bf16, though nothing is scaled there.
        torch.nn.utils.clip_grad_norm_(self.parameters(), 1.0)

    def configure_optimizers(self) -> dict[str, Any]:  # type: ignore[override]
        head = {name: _HEAD_LEARNING_RATE for name, _ in self.model.named_parameters() if self.model.is_of_head(name)}
        groups = parameter_groups(
            self.model,
            learning_rate=self.learning_rate,
            weight_decay=_WEIGHT_DECAY,
            rates=head if self.model.new_head else {},
        )
        optimizer = torch.optim.AdamW(groups, fused=True)
        schedule = warmup_cosine(optimizer, self.steps, _WARMUP_SHARE)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _Steps(Dataset[MaskedBatch]):
    """Batch n of the whole training: texts of similar length, batches in a new order each time round."""

    def __init__(self, rows: Sequence[Sequence[int]], masking: Masking, tokens_per_batch: int, seed: int) -> None:
        self.rows, self.masking, self.tokens_per_batch, self.seed = rows, masking, tokens_per_batch, seed
        self.round, self.batches = 0, self._round(0)

    def __getitem__(self, step: int) -> MaskedBatch:
        number, place = divmod(step, len(self.batches))
        if number != self.round:
            self.round, self.batches = number, self._round(number)
        seed = int(np.random.SeedSequence([self.seed, step]).generate_state(1)[0])
        return self.masking.batch([self.rows[row] for row in self.batches[place]], seed)

    def _round(self, number: int) -> list[list[int]]:
        """Return a time round: texts of one length meet others of it, so there are as many batches every time."""
        random = np.random.default_rng([self.seed, number])
        order = random.permutation(len(self.rows))
        batches = list(token_batches([len(self.rows[row]) for row in order], self.tokens_per_batch))
        return [[int(order[place]) for place in batches[batch]] for batch in random.permutation(len(batches))]


def _fit(
    training: _Training,
    rows: Sequence[Sequence[int]],
    masking: Masking,
    text: TextConfig,
    seed: int,
    scratch: Path,
) -> None:
    resumed = scratch / "last.ckpt"
    # Batches are numbered from the first step of all, so ours does go on where it was.
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
    trainer = L.Trainer(
        accelerator="auto",
        devices=1,
        precision=trainer_precision(text.precision),
        max_epochs=1,
        callbacks=[SeededSteps(seed), Checkpoints(resumed, _CHECKPOINT_STEPS), TQDMProgressBar(10)],
        logger=False,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=str(scratch),
    )
    sampler = StepSampler(text.adapt_steps, lambda: trainer.global_step)
    steps = _Steps(rows, masking, text.adapt_tokens_per_batch, seed)
    trainer.fit(
        training.train(),
        DataLoader(steps, sampler=sampler, batch_size=None),
        ckpt_path=str(resumed) if resumed.is_file() else None,
        weights_only=False,
    )
