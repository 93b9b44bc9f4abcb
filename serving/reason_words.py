"""What explanations say, in words that a shop manager reads."""

from __future__ import annotations

from datetime import UTC, datetime

from commerce.columns import MICROSECONDS
from commerce.item_numbers import PRICE_IN_CATEGORY, declared_name

POPULAR = "popular"
"""Reason of an item that would stand high for anybody."""
SOURCES = {
    "vectors": "fits the user's taste and search (towers)",
    "associations": "goes with what the user met last",
    "tastes": "goes with the user's history as a whole",
    "repeats": "the user met it before",
    "popularity": "popular with everybody",
    "newest": "new in the shop",
    "lexical": "search terms in its text",
}
_ACTIONS = {
    "search": "searched for",
    "impression": "was shown",
    "view": "looked at",
    "favorite": "marked",
    "cart": "put into the cart",
    "purchase": "bought",
}
_FEATURES = {
    "blend_place": "its place among the candidates",
    "blend_score": "its score among the candidates",
    "affinity": "how well it fits the user's behaviour",
    "similarity_last": "how like it is to the last item met",
    "similarity_recent": "how like it is to a recent item",
    "association_best": "how well it goes with a recent item",
    "association_all": "how well it goes with all recent items",
    "popularity": "how often everybody chooses it",
    "price_known": "that its price is known",
    "price_above": "its price against what the user usually looks at",
    "price_distance": "how far its price is from what the user usually looks at",
    "bought": "how often the user bought it",
    "met": "how often the user met it",
    "events_ago": "how few events ago the user met it",
    "days_ago": "how few days ago the user met it",
    "due": "whether the user's usual time to it has passed",
    "history": "how long the user's history is",
    PRICE_IN_CATEGORY: "how dear it is in its category",
}
_TITLE = 60
"""Characters of a title that are said."""


def feature_words(name: str) -> str:
    """Return what a numeric feature of the reranker is about."""
    source, _, fact = name.rpartition("_")
    if name in _FEATURES:
        return _FEATURES[name]
    if declared := declared_name(name):
        return f"its {declared}"
    return f"{'place' if fact == 'place' else 'score'} by: {SOURCES.get(source, source)}"


def actions_words(actions: list[str]) -> str:
    """Return what was done, ``looked at and bought``; each act once, in the order of ``commerce.columns.ACTIONS``."""
    said = [words for action, words in _ACTIONS.items() if action in actions]
    return f"{', '.join(said[:-1])} and {said[-1]}" if len(said) > 1 else said[0]


def day(time: int) -> str:
    """Return the day of a moment (microseconds UTC), ``12 March 2026``."""
    return f"{datetime.fromtimestamp(time / MICROSECONDS, UTC):%-d %B %Y}"


def moment_words(time: int) -> str:
    """Return a moment to the minute, in UTC."""
    return f"{datetime.fromtimestamp(time / MICROSECONDS, UTC):%-d %B %Y %H:%M} UTC"


def short(title: str) -> str:
    """Cut a title to what a line holds."""
    return title if len(title) <= _TITLE else title[: _TITLE - 1].rstrip() + "…"


def share_words(worth: float, whole: float) -> str:
    """Say how much of what lifts an item is owed to one reason."""
    return f"{worth / whole:.0%}" if whole > 0 else ""
