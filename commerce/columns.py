"""The words of the shop's facts: actions, intents, and what stands for "none"."""

from __future__ import annotations

ACTIONS = ("search", "impression", "view", "favorite", "cart", "purchase")
"""Actions by code: ``ACTIONS[code]``, stored as uint8."""
ACTION_CODES = {action: code for code, action in enumerate(ACTIONS)}

INTENTS = ("browse", "compare", "buy")
"""Intents by code: ``INTENTS[code]``; no label is ``NO_INTENT``."""
NO_INTENT = -1

NO_ITEM = -1
"""Item code of an event without one (a search), and of an empty slot in a candidate array."""
NO_QUERY = -1
"""Query code of an event without search terms."""

RELATIONS = ("variant", "complement", "substitute", "parent")

MICROSECONDS = 1_000_000
"""Times are int64 microseconds since 1970-01-01 UTC; this many make a second."""
DAY = 86_400 * MICROSECONDS
