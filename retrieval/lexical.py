"""Search terms against product texts by BM25, and product texts against each other. Needs bm25s, and jieba for Chinese.

The index is files that NumPy maps, so that the pipeline writes it once and a serving machine reads the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import bm25s
import numpy as np
from bm25s.tokenization import Tokenized
from numpy.typing import NDArray

from retrieval.filters import Allowed
from retrieval.sources import Ask, Ranked, empty, place_best
from retrieval.words import words


class LexicalSource:
    """The items whose texts match the search terms best by BM25 (Robertson et al. 1994, Lucene's variant).

    Nothing is returned without search terms, nor an item that shares no word with them.
    """

    def __init__(self, bm25: bm25s.BM25) -> None:
        self._bm25 = bm25

    @classmethod
    def build(cls, texts: Sequence[str]) -> LexicalSource:
        """Index the items' texts, in order of item code."""
        corpus = [words(text) for text in texts]
        # bm25s cannot index a shop without a single word; nobody searches for the empty one.
        known = sorted({word for text in corpus for word in text}) or [""]
        # It numbers the words of plain lists in the order of a set, which differs from process to process.
        codes = {word: code for code, word in enumerate(known)}
        coded = [[codes[word] for word in text] for text in corpus]
        bm25 = bm25s.BM25(method="lucene")
        bm25.index(Tokenized(coded if known != [""] else [[0]] * len(corpus), codes), show_progress=False)
        return cls(bm25)

    def save(self, folder: Path) -> None:
        """Write the index into ``folder``: arrays as ``.npy``, words and parameters as JSON."""
        self._bm25.save(folder, show_progress=False)

    @classmethod
    def load(cls, folder: Path) -> LexicalSource:
        """Map what ``save`` wrote."""
        return cls(bm25s.BM25.load(folder, mmap=True, show_progress=False))

    def __call__(self, ask: Ask, k: int, allowed: Allowed) -> Ranked:
        """Score the items that share a word with each request's terms."""
        ranked = empty(len(ask), k)
        for row, query in enumerate(ask.queries):
            items, scores = self.match(query)
            place_best(ranked, row, items, scores, allowed)
        return ranked

    def neighbours(self, text: str, k: int, without: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the ``k`` items whose texts are most like ``text``, item ``without`` aside, best first, and scores."""
        items, scores = self.match(text)
        items, scores = items[items != without], scores[items != without]
        order = np.lexsort((items, -scores))[:k]
        return items[order], scores[order]

    def match(self, text: str) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return all items that share a word with ``text``, ascending, and their scores."""
        known = self._bm25.vocab_dict
        terms = [known[word] for word in words(text) if word in known]
        if not terms:
            return np.empty(0, np.int32), np.empty(0, np.float32)
        scores: NDArray[np.float32] = self._bm25.get_scores_from_ids(terms)
        items = np.flatnonzero(scores > 0).astype(np.int32)
        return items, scores[items]
