"""Text to tokens: the two halves of a (context, item) pair, cut apart so that each is tokenised once.

Read apart, a pair is ``[CLS] context [SEP]`` and ``[CLS] item [SEP]`` (or as the tokenizer's own template says): two
whole texts, so that each is what the pretrained model knows. Read together (``ranking.attention: full``) it is the
tokenizer's own pair, ``[CLS] context [SEP] item [SEP]`` for BERT, with ``token_type_ids`` 0 in the context and 1 in the
item: a ``PairJoin`` makes it of the two. Serving repeats exactly this: context cut to ``context_tokens``, item to
``item_tokens``, both with their special tokens counted in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

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


class PairJoin(NamedTuple):
    """How the tokens of a context and of an item become those of a pair: context + glue + item without its start."""

    skip: int
    """Special tokens before an item that a pair leaves out."""
    glue: list[int]
    """Tokens between the context, its own special tokens included, and the item."""

    def pack(
        self, contexts: Tokens, items: Tokens, pairs: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Lay pairs end to end.

        Args:
            contexts: of the first texts.
            items: of the second texts.
            pairs: ``[pairs, 2]``, a row of each.

        Returns: token ids ``[tokens]``, types ``[tokens]`` (0 up to the item, then 1), and lengths ``[pairs]``.
        """
        of_context, of_item = contexts.lengths[pairs[:, 0]], items.lengths[pairs[:, 1]] - self.skip
        lengths = of_context + len(self.glue) + of_item
        row = np.repeat(np.arange(len(pairs)), lengths)
        at = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        in_item = at - of_context[row] - len(self.glue)
        kind = np.where(in_item >= 0, 2, np.where(at >= of_context[row], 1, 0))
        ids = np.empty(len(row), dtype=np.int64)
        first, glued, second = kind == 0, kind == 1, kind == 2
        ids[first] = contexts.ids[(contexts.offsets[pairs[:, 0]][row] + at)[first]]
        ids[glued] = np.array(self.glue, dtype=np.int64)[(at - of_context[row])[glued]]
        ids[second] = items.ids[(items.offsets[pairs[:, 1]][row] + self.skip + in_item)[second]]
        return ids, second.astype(np.int64), lengths


class PairTokenizer:
    """Tokenises contexts and items so that context + item is the tokenizer's own pair."""

    def __init__(self, tokenizer: Tokenizer, context_tokens: int, item_tokens: int) -> None:
        # A saved tokenizer may carry its trainer's padding to a fixed length, which would fill every pair.
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._before, self._after = self._template()
        self.context_tokens, self.item_tokens = context_tokens, item_tokens
        special = len(self._before) + len(self._after)
        if min(context_tokens, item_tokens) <= special:
            raise ValueError(
                f"ranking.context_tokens={context_tokens} and ranking.item_tokens={item_tokens} leave no room beside "
                f"{special} special tokens; raise them"
            )

    def contexts(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of contexts, cut at the end, with the special tokens around them."""
        return self._encode(texts, self.context_tokens)

    def items(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of item texts, cut at the end, with the special tokens around them."""
        return self._encode(texts, self.item_tokens)

    @property
    def join(self) -> PairJoin:
        """How a context and an item are joined, as the tokenizer's own template joins two texts.

        A template without a form for two texts gets BERT's: nothing is put between the two.
        """
        probe = self._tokenizer.encode(_PROBE, add_special_tokens=False).ids
        whole = self._tokenizer.encode(_PROBE, _PROBE).ids
        start = _find(probe, whole) + len(probe)
        between = whole[start : start + _find(probe, whole[start:])]
        glue = between[len(self._after) :] if between[: len(self._after)] == self._after else []
        return PairJoin(len(self._before), glue)

    def _encode(self, texts: Sequence[str], limit: int) -> Tokens:
        room = limit - len(self._before) - len(self._after)
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        rows = [self._before + one.ids[:room] + self._after for one in encoded]
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return Tokens(np.array([token for row in rows for token in row], dtype=np.int64), offsets)

    def _template(self) -> tuple[list[int], list[int]]:
        """Return the special tokens before a text and after it.

        Raises:
            ValueError: without one before it: that token is where an item looks from.
        """
        bare = self._tokenizer.encode(_PROBE, add_special_tokens=False).ids
        whole = self._tokenizer.encode(_PROBE)
        start = _find(bare, whole.ids)
        if not start:
            raise ValueError(
                f"the tokenizer makes {whole.tokens} of a text, but a special token before it was expected, as BERT's "
                "[CLS]; set ranking.encoder to a BERT-like model"
            )
        return whole.ids[:start], whole.ids[start + len(bare) :]


def _find(part: list[int], whole: list[int]) -> int:
    for start in range(len(whole) - len(part) + 1):
        if whole[start : start + len(part)] == part:
            return start
    raise ValueError(f"tokens {part} of {_PROBE!r} are not among {whole}; the tokenizer changes texts in its template")
