"""How far the words of a query are found in the text of a product: what needs no model, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.lexical import LexicalSource
from retrieval.words import words

WORD_FEATURES = ("bm25", "word_overlap", "number_overlap", "title_share")
"""Columns of ``word_features``, in order."""


def word_features(query: NDArray[np.int32], queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]:
    """Return what words say of pairs, float32 ``[pairs, len(WORD_FEATURES)]``.

    bm25: of the query against the text among all texts given (Lucene's variant, distinct texts counted once).
    word_overlap: share of the query's distinct words that the text holds.
    number_overlap: share of its distinct words with a digit (sizes, model numbers) that the text holds; 1 without one.
    title_share: share of the text's distinct words that the query holds.

    Args:
        query: ``[pairs]``, code of each pair's query.
        queries: text by code.
        texts: product text of each pair; an empty one shares no word.
    """
    distinct, place = np.unique(np.asarray(texts, dtype=object), return_inverse=True)
    lexical = LexicalSource.build(list(distinct))
    of_text = [frozenset(words(text)) for text in distinct]
    found = np.zeros((len(query), len(WORD_FEATURES)), dtype=np.float32)
    order = np.argsort(query, kind="stable")
    codes, starts = np.unique(query[order], return_index=True)
    scores = np.zeros(len(distinct), dtype=np.float32)
    for code, rows in zip(codes, np.split(order, starts[1:]), strict=True):
        items, matched = lexical.match(queries[code])
        scores[items] = matched
        asked = frozenset(words(queries[code]))
        for row in rows:
            found[row] = (scores[place[row]], *_overlaps(asked, of_text[place[row]]))
        scores[items] = 0.0
    return found


def _overlaps(asked: frozenset[str], told: frozenset[str]) -> tuple[float, float, float]:
    numbers = {word for word in asked if any(letter.isdigit() for letter in word)}
    return (
        len(asked & told) / max(1, len(asked)),
        len(numbers & told) / len(numbers) if numbers else 1.0,
        len(asked & told) / max(1, len(told)),
    )
