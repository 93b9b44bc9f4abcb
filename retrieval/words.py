"""Words of product texts and search terms, alike for both: English, Chinese by jieba, and model numbers."""

from __future__ import annotations

import logging
import re

from commerce.plain_text import plain

_HYPHENS = "-\u2010\u2011\u2012\u2013\u2212"
_HAN = "\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_HAN}]+|[^\W_{_HAN}]+(?:[{_HYPHENS}][^\W_{_HAN}]+)*")
_CHINESE = re.compile(rf"[{_HAN}]")
_HYPHEN = re.compile(rf"[{_HYPHENS}]")


def words(text: str) -> list[str]:
    """Return the words of a text: runs of letters and digits, and jieba's words in runs of Chinese.

    Case does not count, nor whether characters are full-width (``commerce.plain_text``). What hyphens join is kept
    whole and in parts, so that a model number is found however it is written: ``WH-1000XM4`` gives ``wh-1000xm4``,
    ``wh``, ``1000xm4`` and, since it holds letters, the spelling without hyphens, ``wh1000xm4``. Of digits alone that
    spelling would be another number: sizes 3-4 are not 34.
    """
    found: list[str] = []
    for run in _WORD.findall(plain(text)):
        found += _chinese(run) if _CHINESE.match(run) else _parts(run)
    return found


def _parts(run: str) -> list[str]:
    parts = _HYPHEN.split(run)
    if len(parts) == 1:
        return parts
    joined = "".join(parts)
    return ["-".join(parts), *parts, *([] if joined.isdecimal() else [joined])]


def _chinese(text: str) -> list[str]:
    """Part Chinese text into words; jieba is loaded, for a second, only where there is some."""
    import jieba

    jieba.setLogLevel(logging.WARNING)
    return [word for word in jieba.cut_for_search(text) if word.strip()]
