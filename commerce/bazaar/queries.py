"""Search words: what a shopper types, and what the words mean.

A query names a leaf and, often, a brand and a style. It has a number (for the simulation) and a text (for the log).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from commerce.bazaar.words import BRANDS, ENGLISH, LEAVES, STYLES

_SHAPE = (len(LEAVES), len(BRANDS) + 1, len(STYLES) + 1, 2, 2)
"""leaf, brand (last: none), style (last: none), synonym, language."""
NO_BRAND = len(BRANDS)
NO_STYLE = len(STYLES)


@dataclass(frozen=True)
class Meaning:
    """What queries ask for, ``[queries]`` each; -1 where a query is not understood or does not say."""

    leaf: NDArray[np.int64]
    brand: NDArray[np.int64]
    style: NDArray[np.int64]


def number_of(
    leaf: ArrayLike, brand: ArrayLike, style: ArrayLike, synonym: ArrayLike, chinese: ArrayLike
) -> NDArray[np.int64]:
    """Return the numbers of queries; ``NO_BRAND`` and ``NO_STYLE`` leave a word out."""
    parts = tuple(np.asarray(part, dtype=np.int64) for part in (leaf, brand, style, synonym, chinese))
    return np.ravel_multi_index(parts, _SHAPE).astype(np.int64)  # type: ignore[arg-type]


def text_of(number: int) -> str:
    """Return the words of a query."""
    leaf, brand, style, synonym, language = (int(part) for part in np.unravel_index(number, _SHAPE))
    words = [BRANDS[brand][language]] if brand != NO_BRAND else []
    words += [STYLES[style][synonym][language]] if style != NO_STYLE else []
    words += [LEAVES[leaf][language]]
    return " ".join(words) if language == ENGLISH else "".join(words)


def understand(texts: list[str]) -> Meaning:
    """Return the meaning of query texts, exactly as the shop's shoppers mean them."""
    numbers = np.array([_numbers().get(text, -1) for text in texts], dtype=np.int64)
    leaf, brand, style, _, _ = np.unravel_index(np.maximum(numbers, 0), _SHAPE)
    known = numbers >= 0
    return Meaning(
        leaf=np.where(known, leaf, -1),
        brand=np.where(known & (brand != NO_BRAND), brand, -1),
        style=np.where(known & (style != NO_STYLE), style, -1),
    )


@cache
def _numbers() -> dict[str, int]:
    return {text_of(number): number for number in range(int(np.prod(_SHAPE)))}
