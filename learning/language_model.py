"""A pretrained language model as a text encoder: token ids to one unit vector."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learning.encoder_folder import EncoderError, EncoderFolder


class TextEncoder(nn.Module):
    """A transformers encoder, its pooling, and unit length."""

    def __init__(self, model: nn.Module, pooling: str) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling

    @property
    def dim(self) -> int:
        """Width of the text vectors."""
        config: Any = self.model.config
        return int(config.hidden_size)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return a unit vector per text.

        Args:
            input_ids: ``[batch, tokens]``, int64, right-padded.
            attention_mask: ``[batch, tokens]``, int64, 1 for a token and 0 for padding.

        Returns: ``[batch, dim]``, float32.
        """
        states = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state.float()
        return F.normalize(pool(states, attention_mask, self.pooling), dim=-1)


def pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Return one vector per text, ``[batch, dim]``, from its token states ``[batch, tokens, dim]``."""
    if pooling == "cls":
        return states[:, 0]
    if pooling == "last":
        last = mask.sum(dim=1) - 1
        return states.gather(1, last[:, None, None].expand(-1, 1, states.shape[2])).squeeze(1)
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


def recompute(encoder: TextEncoder) -> None:
    """Let the encoder's blocks be computed again on the way back instead of keeping what they made (Chen et al. 2016).

    Raises:
        EncoderError: if the model cannot.
    """
    try:
        encoder.model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    except ValueError as error:
        raise EncoderError(f"towers.gradient_checkpointing: {error}; leave it off") from error


def load_text_encoder(folder: EncoderFolder) -> TextEncoder:
    """Load the weights of an encoder folder in float32, in evaluation mode.

    Raises:
        EncoderError: if transformers cannot read the folder.
    """
    from transformers import AutoModel
    from transformers.utils import logging

    quiet, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = AutoModel.from_pretrained(str(folder.path), dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise EncoderError(f"the encoder in {folder.path} cannot be loaded: {error}") from error
    finally:
        logging.set_verbosity(quiet)
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # BERT's own head over the first token; no text vector reads it
    return TextEncoder(model, folder.pooling).eval()
