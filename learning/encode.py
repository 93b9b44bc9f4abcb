"""Texts to vectors, fast: each text once, sorted by length, in batches of a token budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from configs.schema import TextConfig
from learning.encoder_folder import EncoderFolder
from learning.language_model import TextEncoder, load_text_encoder
from learning.text_cache import TextCache
from learning.tokens import load_tokenizer, token_ids


def token_batches(lengths: Sequence[int], tokens_per_batch: int) -> Iterator[list[int]]:
    """Yield rows in batches of nearly equal length, of at most ``tokens_per_batch`` padded tokens each.

    A text longer than the budget comes alone. Longest first, so that too large a budget fails at once.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    start = 0
    while start < len(order):
        rows = max(1, tokens_per_batch // max(1, lengths[order[start]]))
        yield order[start : start + rows]
        start += rows


def pad(rows: Sequence[Sequence[int]], padding: int = 0) -> tuple[Tensor, Tensor]:
    """Return token ids and their mask, ``[rows, longest]`` int64 each, padded on the right."""
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), padding, dtype=torch.int64)
    mask = torch.zeros((len(rows), longest), dtype=torch.int64)
    for row, numbers in enumerate(rows):
        ids[row, : len(numbers)] = torch.tensor(numbers, dtype=torch.int64)
        mask[row, : len(numbers)] = 1
    return ids, mask


@torch.no_grad()
def encode(
    encoder: TextEncoder,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    tokens_per_batch: int,
    precision: str = "fp32",
    progress: bool = False,
) -> NDArray[np.float32]:
    """Return a unit vector for each text, ``[texts, dim]``; equal texts are encoded once.

    Args:
        encoder: in evaluation mode.
        tokenizer: the encoder's own.
        texts: prefixes included.
        tokens_per_batch: padded tokens in a batch.
        precision: ``fp32`` or ``bf16`` (autocast).
        progress: whether to show a progress bar.
    """
    distinct, place = np.unique(np.asarray(texts, dtype=object), return_inverse=True)
    rows = token_ids(tokenizer, list(distinct))
    vectors = np.zeros((len(rows), encoder.dim), dtype=np.float32)
    device = next(encoder.parameters()).device
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        for batch in _shown(list(token_batches([len(row) for row in rows], tokens_per_batch)), progress):
            ids, mask = pad([rows[row] for row in batch])
            vectors[batch] = encoder(ids.to(device), mask.to(device)).float().cpu().numpy()
    return vectors[place]


def folder_vectors(
    texts: Sequence[str], folder: EncoderFolder, text: TextConfig, *, kind: str, progress: bool = True
) -> NDArray[np.float32]:
    """Return the encoder's vector of each text, ``[texts, text_dim]``, out of the cache where it is there.

    Args:
        texts: without prefix; an empty text gets the zero vector.
        folder: of the encoder, as ``open_encoder`` finds it.
        text: the ``text`` section: how the encoder is run.
        kind: ``item`` or ``query``, which decides the prefix.
        progress: whether to show a progress bar.
    """
    prefix = folder.item_prefix if kind == "item" else folder.query_prefix
    cache = TextCache(Path(text.cache), f"{folder.fingerprint()} {text.precision}")
    full = [prefix + one if one else "" for one in texts]
    missing = cache.missing(full)
    if missing:
        encoder, tokenizer = load_text_encoder(folder), load_tokenizer(folder.path, folder.max_tokens)
        found = encode(
            encoder,
            tokenizer,
            missing,
            tokens_per_batch=text.tokens_per_batch,
            precision=text.precision,
            progress=progress,
        )
        cache.add(missing, found)
    return cache.vectors(full, text_dim(folder))


def text_dim(folder: EncoderFolder) -> int:
    """Return the width of an encoder's vectors without loading its weights."""
    from transformers import AutoConfig

    return int(AutoConfig.from_pretrained(str(folder.path)).hidden_size)


def _shown(batches: list[list[int]], progress: bool) -> Iterator[list[int]]:
    from tqdm import tqdm

    with tqdm(total=sum(map(len, batches)), desc="encode texts", unit="text", disable=not progress) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))
