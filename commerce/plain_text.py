"""What two texts have in common when only their look differs: case, width, white space, signs of a trade mark."""

from __future__ import annotations

import unicodedata

_MARKS = str.maketrans(dict.fromkeys("\u2122\u2120", " "))
"""Trade and service mark: to Unicode's NFKC they are the letters TM and SM, which would grow onto the brand's name."""


def plain(text: str) -> str:
    """Return a text in NFKC (full-width letters become plain ones), case-folded, with single spaces between words."""
    return " ".join(unicodedata.normalize("NFKC", text.translate(_MARKS)).casefold().split())
