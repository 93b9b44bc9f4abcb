"""Texts to unit vectors with the bundle's own tokenizer and graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer


class TextEncoder:
    """A graph from token ids to unit vectors: pooling and normalisation are inside it."""

    def __init__(self, session: onnxruntime.InferenceSession, tokenizer: Tokenizer, dim: int) -> None:
        """Join the parts; ``tokenizer`` cuts texts to the encoder's limit and does not pad."""
        self._session, self._tokenizer, self._dim = session, tokenizer, dim

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``[texts, dim]``; an empty text has the zero vector. Texts carry their prefix already."""
        vectors = np.zeros((len(texts), self._dim), dtype=np.float32)
        rows = [row for row, text in enumerate(texts) if text]
        if rows:
            ids, mask = pad([one.ids for one in self._tokenizer.encode_batch([texts[row] for row in rows])])
            vectors[rows] = self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return vectors


def load_tokenizer(path: Path, max_tokens: int) -> Tokenizer:
    """Return the tokenizer in ``path``, cutting to ``max_tokens`` and never padding."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()  # the file may ask for a fixed length: MiniLM's pads everything to 128
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def pad(rows: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return token ids, padded on the right with 0, and their mask, ``[rows, longest]`` each."""
    longest = max(map(len, rows))
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for row, numbers in enumerate(rows):
        ids[row, : len(numbers)] = numbers
        mask[row, : len(numbers)] = 1
    return ids, mask
