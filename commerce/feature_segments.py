"""Segments by any feature of users or items: whom the shop serves well, by age, region, department or seller.

Also by features that no model may read (``data.sensitive``): to see whether a shop treats people alike, they must be
told apart somewhere, and here is the only place where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.features import category_name, number_or_nan
from commerce.metrics import Relevant
from commerce.segments import Segment

MOST_VALUES = 20
"""Values of a feature that get a segment of their own, those with the most users."""
OTHER = "other"
MISSING = "(missing)"


@dataclass(frozen=True)
class Feature:
    """One column of the users or the items table."""

    name: str
    """As in ``evaluate.segments``: ``user:age_band``, ``item:department``."""
    values: Sequence[Any]
    """By user or item code."""
    numeric: bool
    """Whether it is parted by quartile, not by value."""

    @property
    def of_items(self) -> bool:
        """Whether it parts the relevant items, not the requests."""
        return self.name.startswith("item:")


def feature_segments(
    feature: Feature, users: NDArray[np.integer], relevant: Relevant, min_users: int
) -> tuple[list[Segment], str]:
    """Return a segment per value or quartile, and a sentence on which values were joined; empty where none were.

    Args:
        feature: to part by.
        users: ``[requests]``.
        relevant: of these requests.
        min_users: values with fewer users are joined as ``other``.
    """
    owner = users[relevant.rows]
    codes = relevant.items if feature.of_items else owner
    if feature.numeric:
        # Quartiles of the users asked, one each; of the items chosen, as often as they were.
        counted = codes if feature.of_items else np.unique(codes)
        labels, note = _by_quartile(feature.values, counted), ""
    else:
        labels, note = _by_value(feature, codes, owner, min_users)
    classes = np.array([labels[code] for code in codes], dtype=np.str_)
    ordered = dict.fromkeys(labels[code] for code in sorted(labels, key=lambda code: _place(feature, labels, code)))
    return [Segment(f"{feature.name} = {label}", classes == label, feature.of_items) for label in ordered], note


def _by_value(
    feature: Feature, codes: NDArray[np.integer], owner: NDArray[np.integer], min_users: int
) -> tuple[dict[int, str], str]:
    """Return the label of each code that occurs, and a sentence on what was joined."""
    labels = {int(code): (category_name(feature.values[code]) or MISSING) for code in np.unique(codes)}
    members: dict[str, set[int]] = {}
    for code, user in np.unique(np.stack([codes, owner], axis=1), axis=0).tolist():
        members.setdefault(labels[code], set()).add(user)
    by_size = sorted(members, key=lambda label: (-len(members[label]), label))
    kept = {label for label in by_size[:MOST_VALUES] if len(members[label]) >= min_users}
    joined = [label for label in by_size if label not in kept]
    if not joined:
        return labels, ""
    shown = ", ".join(joined[:5]) + (", ..." if len(joined) > 5 else "")
    note = (
        f"{feature.name}: {len(joined):,} of {len(by_size):,} values are joined as {OTHER}, having fewer than "
        f"{min_users:,} users or not being among the {MOST_VALUES} with the most: {shown}"
    )
    return {code: label if label in kept else OTHER for code, label in labels.items()}, note


def _by_quartile(values: Sequence[Any], counted: NDArray[np.integer]) -> dict[int, str]:
    """Return the label of each code that occurs: the least and the largest number of its quartile."""
    codes = np.unique(counted)
    numbers = np.array([number_or_nan(values[code]) for code in codes])
    known = np.isfinite(numbers)
    weighed = numbers[np.searchsorted(codes, counted)]
    weighed = weighed[np.isfinite(weighed)]
    labels = {int(code): MISSING for code in codes}
    if not len(weighed):
        return labels
    # Equal numbers stay together, so fewer than four classes come of few different numbers.
    bounds = np.unique(np.quantile(weighed, [0.25, 0.5, 0.75]))
    quartile = np.searchsorted(bounds, numbers, side="left")
    for number in range(len(bounds) + 1):
        inside = known & (quartile == number)
        if inside.any():
            low, high = f"{numbers[inside].min():g}", f"{numbers[inside].max():g}"
            label = low if low == high else f"{low} to {high}"
            labels |= {int(code): label for code in codes[inside]}
    return labels


def _place(feature: Feature, labels: dict[int, str], code: int) -> tuple[bool, bool, float, str]:
    """Sort numbers by size, values by name; then what was joined, then what is missing."""
    label = labels[code]
    number = number_or_nan(feature.values[code]) if feature.numeric and label != MISSING else 0.0
    return label == MISSING, label == OTHER, number, label


def _label(value: Any) -> str:
    return category_name(value) or MISSING
