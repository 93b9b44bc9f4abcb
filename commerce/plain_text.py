"""What two texts have in common when only their look differs: case, width, white space, signs of a trade mark."""

from __future__ import annotations

import string
import unicodedata

_MARKS = str.maketrans(dict.fromkeys("\u2122\u2120", " "))
"""Trade and service mark: to Unicode's NFKC they are the letters TM and SM, which would grow onto the brand's name."""

FULL_WIDTH = 0xFEE0
"""From an ASCII character to its full-width form, as Chinese and Japanese keyboards type it."""
_NARROW = {ord(one) + FULL_WIDTH: one for one in string.ascii_letters + string.digits}


def narrow(text: str) -> str:
    """Return a text with its full-width letters and digits as plain ones, for a pretrained encoder.

    Vocabularies know none of them: a word that has one is an unknown word. Of full-width punctuation Chinese
    vocabularies know much, so it stays.
    """
    return text.translate(_NARROW)


def plain(text: str) -> str:
    """Return a text in NFKC (full-width letters become plain ones), case-folded, with single spaces between words."""
    return " ".join(unicodedata.normalize("NFKC", text.translate(_MARKS)).casefold().split())
