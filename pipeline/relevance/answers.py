"""What a tower answers with: products of two texts, and queries that move towards what they find.

None of it is trained. A tower tuned on titles reads a whole text about as well as a title and makes other mistakes, so
the mean of both vectors is better than either; and the products that a query finds say what it means in the shop's own
words. A shop does the same with its index: one vector a product, and two searches a query.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from commerce.pairs import Pairs
from configs.schema import RelevanceConfig, TextConfig
from learning.encode import encode, folder_vectors
from learning.encoder_folder import EncoderFolder, open_encoder
from learning.graded_training import SCORING_TOKENS
from learning.language_model import TextEncoder
from learning.tokens import load_tokenizer
from retrieval.feedback import unit, with_feedback

Vectors = NDArray[np.float32]
Read = Callable[[Sequence[str], str, int], Vectors]
"""Texts, what they are (``item`` or ``query``), most tokens of one -> vectors of unit length."""


@dataclass(frozen=True)
class Products:
    """The distinct products of a table, by both of their texts."""

    short: list[str]
    """What ``relevance.tower_text`` makes; the other text where that is empty."""
    whole: list[str]
    """What ``relevance.cross_text`` makes; likewise."""
    place: NDArray[np.int64]
    """``[pairs]``: which of them a pair is of."""

    @staticmethod
    def of(pairs: Pairs) -> Products:
        """Return those of a table of pairs."""
        both = [
            (short or whole, whole or short) for short, whole in zip(pairs.tower_text, pairs.cross_text, strict=True)
        ]
        place = {pair: number for number, pair in enumerate(dict.fromkeys(both))}
        short, whole = zip(*place, strict=True)
        return Products(list(short), list(whole), np.array([place[pair] for pair in both], dtype=np.int64))


def tower_scores(
    pairs: Pairs, encoder: TextEncoder, folder: EncoderFolder, settings: RelevanceConfig, rows: NDArray[np.int64]
) -> Vectors:
    """Return what a tower says of some pairs of a table, ``[rows]``: cosines, as it answers in a shop.

    Args:
        pairs: the table; all its products are the catalogue.
        encoder: the tower's.
        folder: where it came from: tokenizer and prefixes.
        settings: of the tower.
        rows: of the table.
    """
    prefixes = {"item": folder.item_prefix, "query": folder.query_prefix}

    def read(texts: Sequence[str], kind: str, most: int) -> Vectors:
        tokenizer, full = load_tokenizer(folder.path, most), [prefixes[kind] + text for text in texts]
        return encode(encoder, tokenizer, full, tokens_per_batch=SCORING_TOKENS, precision=settings.precision)

    products, codes = Products.of(pairs), np.unique(pairs.query[rows])
    asked, known = _answers(products, [pairs.queries[code] for code in codes], settings, read)
    own = asked[np.searchsorted(codes, pairs.query[rows])]
    cosines: Vectors = np.einsum("ij,ij->i", own, known[products.place[rows]])
    return cosines


def folder_answers(
    products: Products, queries: Sequence[str], text: TextConfig, settings: RelevanceConfig
) -> tuple[Vectors, Vectors]:
    """Return the vectors of queries and of products with which ``text.encoder`` answers, out of the cache."""

    def read(texts: Sequence[str], kind: str, most: int) -> Vectors:
        told = replace(text, max_tokens=most)
        return folder_vectors(texts, open_encoder(told), told, kind=kind, progress=False)

    return _answers(products, queries, settings, read)


def _answers(
    products: Products, queries: Sequence[str], settings: RelevanceConfig, read: Read
) -> tuple[Vectors, Vectors]:
    known = read(products.short, "item", settings.tower_tokens)
    if settings.tower_whole_tokens:
        known = unit(known + read(products.whole, "item", settings.tower_whole_tokens))
    asked = read(queries, "query", settings.tower_tokens)
    count, weight = settings.tower_feedback, settings.tower_feedback_weight
    return with_feedback(asked, known, count, weight, settings.tower_scale), known
