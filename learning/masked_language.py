"""A language model that guesses hidden tokens of a text, made from an encoder folder that may never have had to.

Masked language modelling: Devlin et al. 2019; carried on with the texts of one's own domain: Gururangan et al. 2020.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModelForMaskedLM, AutoTokenizer, DataCollatorForLanguageModeling, PreTrainedModel
from transformers.utils import logging

from configs.errors import InputError
from learning.encode import token_batches
from learning.encoder_folder import EncoderError, EncoderFolder
from learning.hardware import autocast
from learning.language_model import TextEncoder

_HEADS = (
    ("cls",),  # BERT
    ("lm_head",),  # RoBERTa, XLM-R, MPNet
    ("vocab_transform", "activation", "vocab_layer_norm", "vocab_projector"),  # DistilBERT
    ("head", "decoder"),  # ModernBERT
)
"""What models call the layers that turn a token's state into a score per word, in order."""


class MaskedModel(nn.Module):
    """An encoder and the head that guesses hidden tokens; the head's last layer is the table of token vectors."""

    def __init__(self, model: PreTrainedModel, pooling: str, *, new_head: bool) -> None:
        """Join the parts.

        Args:
            model: a transformers model for masked language modelling.
            pooling: of the text encoder inside it.
            new_head: whether the head starts from chance, for the folder holds none.

        Raises:
            EncoderError: if its head is of a kind not known here.
        """
        super().__init__()
        parts = [names for names in _HEADS if all(hasattr(model, name) for name in names)]
        if not parts:
            raise EncoderError(
                f"text.adapt_steps: the head of a {type(model).__name__} is not known; set text.adapt_steps=0, or name "
                "a BERT, RoBERTa, XLM-R, MPNet, DistilBERT or ModernBERT in text.encoder"
            )
        self.model, self.pooling, self.new_head, self._head = model, pooling, new_head, parts[0]

    @property
    def encoder(self) -> TextEncoder:
        """The encoder inside, as the rest of the house reads texts with it."""
        return TextEncoder(self.model.base_model, self.pooling)

    def is_of_head(self, name: str) -> bool:
        """Return whether a parameter belongs to the head alone."""
        return not name.startswith(f"model.{self.model.base_model_prefix}.")

    def forward(self, batch: MaskedBatch) -> Tensor:
        """Return the sum of the cross-entropies of a batch's hidden tokens, in nats.

        Only hidden tokens go through the head: scores of all tokens over a large vocabulary would need gigabytes.
        """
        states = self.model.base_model(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state
        scores = states[batch.labels >= 0]
        for name in self._head:
            scores = getattr(self.model, name)(scores)
        return F.cross_entropy(scores.float(), batch.labels[batch.labels >= 0], reduction="sum")


@dataclass(frozen=True)
class MaskedBatch:
    """Texts with some tokens hidden; each tensor is ``[texts, tokens]`` int64."""

    ids: Tensor
    mask: Tensor
    """1 for a token, 0 for padding."""
    labels: Tensor
    """The tokens to guess, -100 elsewhere."""

    @property
    def hidden(self) -> int:
        """Tokens to guess."""
        return int((self.labels >= 0).sum())

    def to(self, device: torch.device) -> MaskedBatch:
        """Return the batch on another device."""
        return MaskedBatch(self.ids.to(device), self.mask.to(device), self.labels.to(device))


class Masking:
    """Hides tokens of texts: of those to guess 80% are masked, 10% replaced by others and 10% left, as BERT's were."""

    def __init__(self, folder: EncoderFolder, share: float) -> None:
        """Read a folder's tokenizer.

        Args:
            folder: of the encoder.
            share: of a text's tokens, special ones left out, that are to be guessed.

        Raises:
            EncoderError: if the tokenizer has no mask token.
        """
        self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder.path))
        self._share = share
        self._tokenizer.padding_side = "right"
        if self._tokenizer.mask_token is None:
            raise EncoderError(
                f"text.adapt_steps: the tokenizer in {folder.path} has no mask token, so its model was not made to "
                "guess hidden tokens; set text.adapt_steps=0"
            )

    def batch(self, rows: Sequence[Sequence[int]], seed: int) -> MaskedBatch:
        """Return texts with tokens hidden as ``seed`` says."""
        collate = DataCollatorForLanguageModeling(self._tokenizer, mlm_probability=self._share, seed=seed)
        made = collate([{"input_ids": list(row)} for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(made["input_ids"].shape[1]) < lengths[:, None]
        return MaskedBatch(made["input_ids"], mask.long(), made["labels"])


def load_masked_model(folder: EncoderFolder) -> MaskedModel:
    """Load the weights of an encoder folder in float32; a head that it lacks is made anew, from torch's generator.

    Raises:
        EncoderError: if the model is of a kind that does not guess hidden tokens.
    """
    quiet, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model, report = AutoModelForMaskedLM.from_pretrained(
            str(folder.path), dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise EncoderError(
            f"text.adapt_steps: the encoder in {folder.path} cannot learn by guessing hidden tokens "
            f"({str(error).splitlines()[0]}); set text.adapt_steps=0, or name a BERT-like encoder in text.encoder"
        ) from error
    finally:
        logging.set_verbosity(quiet)
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    inside = [name for name in report["missing_keys"] if name.startswith(f"{model.base_model_prefix}.")]
    if inside:
        raise EncoderError(f"the encoder in {folder.path} lacks {', '.join(sorted(inside)[:3])}; name a whole one")
    return MaskedModel(cast(PreTrainedModel, model), folder.pooling, new_head=bool(report["missing_keys"]))


def held_out_loss(
    model: MaskedModel, masking: Masking, rows: Sequence[Sequence[int]], *, tokens_per_batch: int, precision: str
) -> float:
    """Return the mean cross-entropy of hidden tokens, in nats; the same ones are hidden at every call.

    Raises:
        InputError: if the texts are so few or short that none of their tokens is hidden.
    """
    device, training = next(model.parameters()).device, model.training
    model.eval()
    loss, hidden = 0.0, 0
    with torch.no_grad(), autocast(precision, device.type):
        for batch in _masked(masking, rows, tokens_per_batch):
            loss, hidden = loss + float(model(batch.to(device))), hidden + batch.hidden
    model.train(training)
    if not hidden:
        raise InputError(
            f"text.adapt_steps: no token of the {len(rows):,} texts held back was hidden; set text.adapt_steps=0, or "
            "raise text.adapt_mask_share"
        )
    return loss / hidden


def _masked(masking: Masking, rows: Sequence[Sequence[int]], tokens_per_batch: int) -> Iterator[MaskedBatch]:
    for number, batch in enumerate(token_batches([len(row) for row in rows], tokens_per_batch)):
        yield masking.batch([rows[row] for row in batch], seed=number)
