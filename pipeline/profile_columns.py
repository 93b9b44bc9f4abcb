"""The columns of ``profiles.parquet``: their types, and what each means."""

from __future__ import annotations

import pyarrow as pa

from commerce.columns import INTENTS

_TAG = pa.struct([("feature", pa.string()), ("tag", pa.string()), ("strength", pa.float32()), ("lift", pa.float32())])
_COLUMNS: tuple[tuple[str, pa.DataType, str], ...] = (
    ("user", pa.string(), "HMAC-SHA256 of the shop's id of the user, 64 hex digits; the id itself with --raw-ids"),
    (
        "tags",
        pa.list_(_TAG),
        "top tags of each item feature that are stronger than everybody's, the strongest first: strength is the share "
        "of what the user did and searched "
        "that has the tag, mixed with everybody's (of a feature, all strengths sum to 1); lift is strength over "
        "everybody's share",
    ),
    ("events", pa.int64(), "events of the history"),
    ("sessions", pa.int64(), "sessions of the history"),
    ("active_days", pa.int64(), "days (UTC) with an event"),
    ("pause_days", pa.float32(), "median days between the beginnings of sessions; none with fewer than two"),
    ("days_since", pa.float32(), "days from the last event to the moment of the profiles"),
    ("weekend_share", pa.float32(), "share of events on Saturday and Sunday (UTC)"),
    ("part_of_day", pa.string(), "quarter of the day (UTC) with most events: night from 0, morning 6, afternoon 12, "
     "evening 18"),
    ("price_low", pa.float32(), "a quarter of the items chosen cost no more; of those met, where none was chosen"),
    ("price_median", pa.float32(), "half of them cost no more"),
    ("price_high", pa.float32(), "three quarters of them cost no more"),
    ("price_level", pa.float32(), "their mean place among the prices of their leaf category: 0 cheapest, 1 dearest"),
    ("price_band", pa.string(), "third that price_level lies in: low, middle, high"),
    *(
        (f"showed_{name}", pa.float32(), f"share of the positions of the history whose session showed intent {name}")
        for name in INTENTS
    ),
    *(
        (f"intent_{name}", pa.float32(), f"predicted probability of intent {name} at the moment of the profiles")
        for name in INTENTS
    ),
    (
        "segment",
        pa.string(),
        "silent: no events; gone, fading: away for 6, 2 times the usual pause (7 days at least, 28 where unknown); "
        "new: first seen within 28 days; frequent: usual pause of 7 days at most; regular: all others",
    ),
    ("vector", pa.list_(pa.float32()), "the user tower's vector, unit length; only comparable within one training"),
)  # fmt: skip
SCHEMA = pa.schema([(name, kind) for name, kind, _ in _COLUMNS])


def dictionary() -> dict[str, dict[str, str]]:
    """Return type and meaning of each column."""
    return {name: {"type": str(kind), "meaning": meaning} for name, kind, meaning in _COLUMNS}
