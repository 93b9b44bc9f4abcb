"""Texts to token ids with the encoder's own fast tokenizer: the same file that serving reads. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from learning.encoder_folder import EncoderError


def load_tokenizer(folder: Path, max_tokens: int) -> Tokenizer:
    """Return the tokenizer of a model folder: cut to ``max_tokens``, never padded.

    A folder without ``tokenizer.json`` is converted by transformers, in memory.

    Raises:
        EncoderError: if the folder holds no tokenizer.
    """
    file = folder / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file)) if file.is_file() else _converted(folder)
    tokenizer.no_padding()  # the file may ask for a fixed length: MiniLM's pads everything to 128
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each text, special tokens included."""
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """Return the id of the unknown token, None for a tokenizer that knows every byte."""
    for token in ("[UNK]", "<unk>"):
        number: int | None = tokenizer.token_to_id(token)
        if number is not None:
            return number
    return None


def _converted(folder: Path) -> Tokenizer:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder)).backend_tokenizer
    except (OSError, ValueError, AttributeError) as error:
        raise EncoderError(
            f"{folder} holds no tokenizer.json and none that can be converted to one: {error}"
        ) from error
