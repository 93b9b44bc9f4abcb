"""What in a text could identify a person: mail addresses, phone numbers, ids of users.

Patterns are made to find what people type, not to check it; numbers that are parts of longer ones or of decimals
are none. Mobile numbers of mainland China are eleven digits that begin with 13 to 19; others count only as they are
written for strangers: with a country's code behind a plus.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![\w-])")
_MOBILE = re.compile(
    r"(?<![\d.,A-Za-z_-])(?:(?:\+|00)?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}(?!\d|\.\d|[-_][\dA-Za-z]|[A-Za-z_])"
)
_ABROAD = re.compile(r"(?<![\d.,A-Za-z_+])\+(?!86)[1-9]\d{0,2}(?:[- .]?\(?\d{2,5}\)?){2,5}(?![\d.]\d|\d)")
_LEAST_DIGITS, _MOST_DIGITS = 9, 15
"""Of a number abroad, E.164: fewer are no number that can be called."""
_WORD = re.compile(r"[^\s\"'<>,;:(){}\[\]|=&?#/\\]+")
_LEAST_ID = 4
"""Characters of an id that is looked for in running text; a shorter one stands there by chance."""
_LEAST_NUMBER = 9
"""Digits of an id of digits alone, likewise."""


def find_patterns(text: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, what was found) for each mail address and phone number in ``text``."""
    if "@" in text:
        for found in _MAIL.finditer(text):
            yield "mail address", found.group()
    if any(map(str.isdigit, text)):
        for found in _MOBILE.finditer(text):
            yield "phone number", found.group()
        if "+" in text:
            for found in _ABROAD.finditer(text):
                if _LEAST_DIGITS <= sum(map(str.isdigit, found.group())) <= _MOST_DIGITS:
                    yield "phone number", found.group()


def telling_ids(user_ids: Collection[str], others: Collection[str]) -> frozenset[str]:
    """Return the ids that can be looked for in running text.

    Left out are short ones and short numbers, which stand in any text, and those that mean something else as well
    (``others``: the ids of items, say). In columns that are called after users, all ids are looked for.
    """
    other = set(others)
    return frozenset(
        user
        for user in user_ids
        if len(user) >= (_LEAST_NUMBER if user.isdigit() else _LEAST_ID) and not user.isalpha() and user not in other
    )


def find_ids(text: str, ids: frozenset[str]) -> Iterator[str]:
    """Yield the words of ``text`` that are one of ``ids``."""
    if text in ids:
        yield text
        return
    for word in _WORD.findall(text):
        if word in ids or (word := word.strip(".!-")) in ids:
            yield word


def masked(found: str) -> str:
    """Return a finding so that it can be shown: its first and last character, and how long it is."""
    return f"{found[:1]}...{found[-1:]} ({len(found)} characters)"
