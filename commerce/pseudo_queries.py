"""Queries made of product texts: what somebody might type who looks for that product. NumPy only.

A stretch of a few words of a title stands in for a query where there are none, or too few, as the inverse cloze task
takes a sentence for a question (Lee et al. 2019).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from commerce.noise import units

SHORTEST, LONGEST = 2, 4
"""Units of a stretch: words, or pairs of Chinese characters."""


def pseudo_queries(titles: Sequence[str], most: int, seed: int) -> tuple[NDArray[np.int64], list[str]]:
    """Return products drawn at random, ``[queries]`` places in ``titles``, and a query for each.

    Titles without a letter or digit are passed over; no product is drawn twice.

    Args:
        titles: product titles.
        most: queries, at most.
        seed: of the draws.
    """
    random = np.random.default_rng([seed, 23])
    places: list[int] = []
    queries: list[str] = []
    for place in random.permutation(len(titles)):
        words = [word for word in units(titles[place]) if any(map(str.isalnum, word))]
        if not words:
            continue
        if len(queries) == most:
            break
        length = min(len(words), int(random.integers(SHORTEST, LONGEST + 1)))
        start = int(random.integers(0, len(words) - length + 1))
        places.append(int(place))
        queries.append(_joined(words[start : start + length]).lower())
    return np.array(places, dtype=np.int64), queries


def _joined(words: Sequence[str]) -> str:
    """Join words by blanks, and Chinese characters to each other."""
    text = words[0]
    for word in words[1:]:
        text += word if ord(text[-1]) >= _HAN <= ord(word[0]) else f" {word}"
    return text


_HAN = 0x3400
