"""Adversarial training: the same step once more, with the words shifted to where they do the most harm.

The fast gradient method on word embeddings (FGM, Miyato et al. 2017, Adversarial Training Methods for Semi-Supervised
Text Classification), in the form in which it is used with pretrained encoders: one shift of the table of word vectors,
along the gradient of the batch's loss, of a fixed length. The table itself is never changed: the shift is added to
what it gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learning.gather import total


def adversarial_loss(words: nn.Embedding, loss: Callable[[], Tensor], length: float) -> tuple[Tensor, Tensor]:
    """Return the loss, and the loss with shifted words; their sum is what a step descends.

    Args:
        words: table of word vectors, ``[vocabulary, hidden]``, that the loss reads; trained or not.
        loss: computes this rank's sum of losses, a scalar; it is called twice, and draws dropout anew.
        length: of the shift, all words together (Euclidean), in units of the word vectors. The shift is the same on
            every rank.

    Returns: two scalars with gradient; the shift itself is taken as given.
    """
    shift = torch.zeros_like(words.weight).requires_grad_()
    with shifted(words, shift):
        plain = loss()
    (gradient,) = torch.autograd.grad(plain, shift, retain_graph=True)
    with shifted(words, steepest(gradient, length)):
        return plain, loss()


def steepest(gradient: Tensor, length: float) -> Tensor:
    """Return the shift of a length along the gradient of all ranks' loss; none where there is no gradient."""
    whole = total(gradient)
    shift: Tensor = whole * (length / whole.norm().clamp(min=torch.finfo(whole.dtype).tiny))
    return shift


@contextmanager
def shifted(words: nn.Embedding, shift: Tensor) -> Iterator[None]:
    """Let a table of vectors give each word's vector plus its row of ``shift``, ``[vocabulary, hidden]``."""

    def add(_: nn.Module, given: tuple[Any, ...], found: Tensor) -> Tensor:
        return found + F.embedding(given[0], shift)

    handle = words.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()
