"""Texts to vectors, fast: each text once, sorted by length, in batches of a token budget."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from configs.schema import TextConfig
from learning.encoder_folder import EncoderFolder
from learning.hardware import autocast, number_format, working_device
from learning.language_model import TextEncoder, load_text_encoder
from learning.text_cache import TextCache
from learning.tokens import load_tokenizer, token_ids

# What a further call of an encoder costs, in tokens. MiniLM trained alike, within noise, with 32 and with 128.
_CALL_TOKENS = 64
_GPU_CALL_TOKENS = 8192
_SHARD = 65_536
"""Texts that are encoded and cached together: what a cut-off run loses, and what is in memory, at most."""


def token_batches(lengths: Sequence[int], tokens_per_batch: int, most: int | None = None) -> Iterator[list[int]]:
    """Yield rows in batches of nearly equal length, of at most ``tokens_per_batch`` padded tokens each.

    A batch has ``most`` rows at most, where that is given. A text longer than the budget comes alone. Longest first, so
    that too large a budget fails at once.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    start = 0
    while start < len(order):
        rows = max(1, tokens_per_batch // max(1, lengths[order[start]]))
        rows = rows if most is None else min(rows, most)
        yield order[start : start + rows]
        start += rows


def length_chunks(lengths: Sequence[int], overhead: int) -> list[list[int]]:
    """Split rows into chunks of similar length, shortest first, so that encoding them all costs least.

    A chunk costs its padded tokens and ``overhead``: cuts between neighbours in length are chosen by dynamic
    programming, so no other split costs less.

    Args:
        lengths: tokens of each row, at least one row.
        overhead: what a further call of the encoder costs, in tokens.
    """
    order = np.argsort(np.asarray(lengths), kind="stable")
    longest, first = np.unique(np.asarray(lengths)[order], return_index=True)
    edges = [*first.tolist(), len(order)]
    # best[n]: the cost of the n shortest of the distinct lengths; its last chunk begins at length begins[n].
    best, begins = np.zeros(len(edges)), np.zeros(len(edges), dtype=np.int64)
    for n in range(1, len(edges)):
        costs = best[:n] + (edges[n] - np.array(edges[:n])) * longest[n - 1] + overhead
        begins[n] = costs.argmin()
        best[n] = costs[begins[n]]
    cuts = [len(edges) - 1]
    while cuts[-1]:
        cuts.append(int(begins[cuts[-1]]))
    return [order[edges[low] : edges[high]].tolist() for high, low in itertools.pairwise(cuts)][::-1]


def pad(rows: Sequence[Sequence[int]], padding: int = 0) -> tuple[Tensor, Tensor]:
    """Return token ids and their mask, ``[rows, longest]`` int64 each, padded on the right."""
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), padding, dtype=torch.int64)
    mask = torch.zeros((len(rows), longest), dtype=torch.int64)
    for row, numbers in enumerate(rows):
        ids[row, : len(numbers)] = torch.tensor(numbers, dtype=torch.int64)
        mask[row, : len(numbers)] = 1
    return ids, mask


def encode_chunks(encoder: nn.Module, rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Return a vector for each row of token ids, ``[rows, dim]`` with gradient, encoded in chunks of similar length.

    The vectors and gradients are those of one padded batch, without most of its padding. Each chunk is a call of the
    encoder; on a CPU that costs little, on a GPU (not yet measured) starting its kernels costs more than padding does.
    """
    chunks = length_chunks([len(row) for row in rows], _CALL_TOKENS if device.type == "cpu" else _GPU_CALL_TOKENS)
    parts = []
    for chunk in chunks:
        ids, mask = pad([rows[row] for row in chunk])
        parts.append(encoder(ids.to(device), mask.to(device)))
    place = torch.tensor(list(itertools.chain(*chunks)), device=device).argsort()
    return torch.cat(parts).index_select(0, place)


@torch.no_grad()
def encode_rows(
    encoder: nn.Module,
    rows: Sequence[Sequence[int]],
    device: torch.device,
    *,
    tokens_per_batch: int,
    precision: str = "fp32",
    progress: bool = False,
) -> Tensor:
    """Return a vector for each row of token ids, ``[rows, dim]`` float32 on the CPU, without gradient.

    Args:
        encoder: in evaluation mode.
        rows: none of them empty, at least one.
        device: where the encoder is.
        tokens_per_batch: padded tokens in a batch.
        precision: ``auto``, ``fp32`` or ``bf16`` (autocast).
        progress: whether to show a progress bar.
    """
    batches = list(token_batches([len(row) for row in rows], tokens_per_batch))
    vectors = torch.empty(0)
    with autocast(precision, device.type):
        for batch in _shown(batches, progress):
            ids, mask = pad([rows[row] for row in batch])
            found = encoder(ids.to(device), mask.to(device)).float().cpu()
            if not len(vectors):
                vectors = torch.empty(len(rows), found.shape[1])
            vectors[batch] = found
    return vectors


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
        precision: ``auto``, ``fp32`` or ``bf16`` (autocast).
        progress: whether to show a progress bar.
    """
    distinct, place = np.unique(np.asarray(texts, dtype=object), return_inverse=True)
    rows = token_ids(tokenizer, list(distinct))
    if not rows:
        return np.zeros((0, encoder.dim), dtype=np.float32)
    device = next(encoder.parameters()).device
    vectors = encode_rows(
        encoder, rows, device, tokens_per_batch=tokens_per_batch, precision=precision, progress=progress
    )
    found: NDArray[np.float32] = vectors.numpy()[place]
    return found


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
    cache, full = _cache(texts, folder, text, kind)
    _encode_missing(cache, full, folder, text, progress)
    return cache.vectors(full, text_dim(folder))


def folder_table(
    texts: Sequence[str], folder: EncoderFolder, text: TextConfig, *, kind: str, progress: bool = True
) -> NDArray[np.float16]:
    """Return what ``folder_vectors`` does in float16, mapped from a file beside the cache that is written once.

    The array may be changed in memory; the file stays as it is.
    """
    cache, full = _cache(texts, folder, text, kind)
    file = cache.table_file(full)
    if not file.is_file():
        _encode_missing(cache, full, folder, text, progress)
        cache.write_table(full, text_dim(folder))
    table: NDArray[np.float16] = np.load(file, mmap_mode="c")
    return table


def fill_cache(texts: Sequence[str], folder: EncoderFolder, text: TextConfig, *, kind: str) -> None:
    """Encode what is not in the cache yet; arguments are those of ``folder_vectors``."""
    cache, full = _cache(texts, folder, text, kind)
    _encode_missing(cache, full, folder, text, progress=True)


def open_cache(folder: EncoderFolder, text: TextConfig) -> TextCache:
    """Return the cache of an encoder's vectors, as it is run on this machine."""
    return TextCache(Path(text.cache), f"{folder.fingerprint()} {number_format(text.precision, working_device())}")


def _cache(texts: Sequence[str], folder: EncoderFolder, text: TextConfig, kind: str) -> tuple[TextCache, list[str]]:
    """Return an encoder's cache, and the texts as it reads them."""
    prefix = folder.item_prefix if kind == "item" else folder.query_prefix
    return open_cache(folder, text), [prefix + one if one else "" for one in texts]


def _encode_missing(
    cache: TextCache, texts: Sequence[str], folder: EncoderFolder, text: TextConfig, progress: bool
) -> None:
    missing = cache.missing(texts)
    if not missing:
        return
    encoder = load_text_encoder(folder).to(working_device())
    tokenizer = load_tokenizer(folder.path, folder.max_tokens)
    for start in range(0, len(missing), _SHARD):
        some = missing[start : start + _SHARD]
        found = encode(
            encoder,
            tokenizer,
            some,
            tokens_per_batch=text.tokens_per_batch,
            precision=text.precision,
            progress=progress,
        )
        cache.add(some, found)


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
