"""What values a setting may take, told in one sentence: the setting, what came, what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any


def one_of(section: str, settings: Any, name: str, known: Sequence[str]) -> None:
    """Raise ValueError unless a setting is one of the known words.

    Args:
        section: name of the section, as in YAML.
        settings: the section.
        name: of the setting.
        known: words it may be.
    """
    value = getattr(settings, name)
    if value not in known:
        raise ValueError(f"{section}.{name} must be {_either(known)}, got {value!r}{_hint(value, known)}")


def some_of(section: str, settings: Any, name: str, known: Sequence[str]) -> None:
    """Raise ValueError unless every word of a list setting is one of the known ones; as ``one_of``."""
    unknown = [word for word in getattr(settings, name) if word not in known]
    if unknown:
        hint = _hint(unknown[0], known)
        raise ValueError(f"{section}.{name} must be some of {', '.join(known)}; got {', '.join(unknown)}{hint}")


def at_least(section: str, settings: Any, least: float, names: Iterable[str]) -> None:
    """Raise ValueError if one of some number settings is below ``least``."""
    for name in names:
        if not getattr(settings, name) >= least:
            raise ValueError(f"{section}.{name} must be at least {least:g}, got {getattr(settings, name):g}")


def above(section: str, settings: Any, bound: float, names: Iterable[str]) -> None:
    """Raise ValueError if one of some number settings is not above ``bound``."""
    for name in names:
        if not getattr(settings, name) > bound:
            raise ValueError(f"{section}.{name} must be above {bound:g}, got {getattr(settings, name):g}")


def below(section: str, settings: Any, bound: float, names: Iterable[str]) -> None:
    """Raise ValueError if one of some number settings is not below ``bound``."""
    for name in names:
        if not getattr(settings, name) < bound:
            raise ValueError(f"{section}.{name} must be below {bound:g}, got {getattr(settings, name):g}")


def shares(section: str, settings: Any, names: Iterable[str]) -> None:
    """Raise ValueError if one of some settings is no share, a number from 0 to 1."""
    for name in names:
        if not 0 <= getattr(settings, name) <= 1:
            raise ValueError(f"{section}.{name} is a share and must lie in [0, 1], got {getattr(settings, name):g}")


def _hint(word: object, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(word), [one for one in known if one], n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _either(known: Sequence[str]) -> str:
    words = [word or "empty" for word in known]
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
