"""Text to tokens: the two halves of a (context, item) pair, cut apart so that each is tokenised once.

A pair reads ``[CLS] context [SEP] item [SEP]`` (or as the tokenizer's own template says) with token types 0 and 1.
Serving repeats exactly this: context cut to ``context_tokens``, item to ``item_tokens``, both with their special
tokens counted in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

_PROBE = "1"
"""Any text of at least one token; shows where a template puts its special tokens."""


@dataclass(frozen=True)
class Tokens:
    """Token ids of many texts, end to end: those of text i are ``ids[offsets[i]:offsets[i + 1]]``."""

    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]
    """``[texts + 1]``."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def of(self, text: int) -> NDArray[np.int64]:
        """Return the token ids of one text."""
        return self.ids[self.offsets[text] : self.offsets[text + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens per text, ``[texts]``."""
        return np.diff(self.offsets)


class PairTokenizer:
    """Tokenises contexts and items so that context + item is the tokenizer's own pair."""

    def __init__(self, tokenizer: Tokenizer, context_tokens: int, item_tokens: int) -> None:
        # A saved tokenizer may carry its trainer's padding to a fixed length, which would fill every pair.
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._start, self._middle, self._end = self._template()
        self.context_tokens, self.item_tokens = context_tokens, item_tokens
        room = min(context_tokens - len(self._start) - len(self._middle), item_tokens - len(self._end))
        if room < 1:
            raise ValueError(
                f"ranking.context_tokens={context_tokens} and ranking.item_tokens={item_tokens} leave no room beside "
                f"the {len(self._start) + len(self._middle)} and {len(self._end)} special tokens; raise them"
            )

    def contexts(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of contexts, cut at the end, with the special tokens around them."""
        return self._encode(texts, self._start, self._middle, self.context_tokens)

    def items(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of item texts, cut at the end, with the special tokens that close a pair."""
        return self._encode(texts, [], self._end, self.item_tokens)

    def _encode(self, texts: Sequence[str], before: list[int], after: list[int], limit: int) -> Tokens:
        room = limit - len(before) - len(after)
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        rows = [before + one.ids[:room] + after for one in encoded]
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return Tokens(np.array([token for row in rows for token in row], dtype=np.int64), offsets)

    def _template(self) -> tuple[list[int], list[int], list[int]]:
        """Return the special tokens before the context, after it, and after the item."""
        bare = self._tokenizer.encode(_PROBE, add_special_tokens=False).ids
        single = self._tokenizer.encode(_PROBE).ids
        pair = self._tokenizer.encode(_PROBE, _PROBE)
        start = _find(bare, single)
        if pair.ids[: len(single)] != single or pair.type_ids[len(single) :] != [1] * (len(pair.ids) - len(single)):
            raise ValueError(
                f"the tokenizer makes {pair.tokens} with types {pair.type_ids} of a pair, but a pair that continues "
                "the single text with token type 1 was expected, as BERT's; set ranking.encoder to a BERT-like model"
            )
        rest = pair.ids[len(single) :]
        return single[:start], single[start + len(bare) :], rest[_find(bare, rest) + len(bare) :]


def _find(part: list[int], whole: list[int]) -> int:
    for start in range(len(whole) - len(part) + 1):
        if whole[start : start + len(part)] == part:
            return start
    raise ValueError(f"tokens {part} of {_PROBE!r} are not among {whole}; the tokenizer changes texts in its template")
