"""Search terms against product texts: BM25, with Chinese parted into words by jieba. Needs the extra ``train``."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

import bm25s
import numpy as np
from numpy.typing import NDArray

from commerce.ranked_lists import rank_scores
from retrieval.filters import Allowed
from retrieval.sources import Ask, Ranked, empty

_WORD = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]+|[^\W_\u3400-\u9fff\uf900-\ufaff]+")
_CHINESE = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")


def words(text: str) -> list[str]:
    """Return the words of a text, lower case: runs of letters and digits, and jieba's words in runs of Chinese."""
    found: list[str] = []
    for run in _WORD.findall(text.lower()):
        found += _part(run) if _CHINESE.match(run) else [run]
    return found


class LexicalSource:
    """The items whose texts match the search terms best by BM25 (Robertson et al. 1994, Lucene's variant).

    Nothing is returned without search terms, nor an item that shares no word with them.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        """Index the items' texts, in order of item code."""
        corpus = [words(text) for text in texts]
        self._known = {word for text in corpus for word in text}
        self._bm25 = bm25s.BM25(method="lucene")
        # bm25s cannot index a shop without a single word.
        if self._known:
            self._bm25.index(corpus, show_progress=False)

    def __call__(self, ask: Ask, k: int, allowed: Allowed) -> Ranked:
        """Score every item against each request's terms."""
        ranked = empty(len(ask), k)
        for row, query in enumerate(ask.queries):
            terms = [word for word in words(query) if word in self._known]
            if terms:
                scores: NDArray[np.float32] = self._bm25.get_scores(terms).astype(np.float32)
                hidden = ~allowed.row(row, np.arange(len(scores))) | (scores <= 0)
                scores[hidden] = -np.inf
                items, best = rank_scores(scores[None], k)
                ranked[0][row], ranked[1][row] = items[0], best[0]
        return ranked


def _part(text: str) -> list[str]:
    """Part Chinese text into words; jieba is loaded, for a second, only where there is some."""
    import jieba

    jieba.setLogLevel(logging.WARNING)
    return [word for word in jieba.cut_for_search(text) if word.strip()]
