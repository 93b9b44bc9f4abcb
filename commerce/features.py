"""Features of items and users as numbers: learned from the tables once, applied to raw rows anywhere.

``fit`` reads whole columns in ``prepare``; ``encode`` turns rows into arrays, in ``prepare`` and, for a new item or
user, in serving. NumPy only. The vocabulary is plain JSON.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

UNKNOWN = 0
"""Code of a category that is missing, or was not there when the vocabulary was made."""

Columns = Mapping[str, Sequence[Any]]
"""Column name -> values, one per row."""


@dataclass(frozen=True)
class Features:
    """Rows as arrays."""

    categorical: NDArray[np.int32]
    """``[rows, categorical features]``, ``UNKNOWN`` or a code from 1."""
    numeric: NDArray[np.float32]
    """``[rows, numeric features]``, mean 0 and deviation 1 over the known ones; 0 where missing."""
    numeric_mask: NDArray[np.bool_]
    """Same shape: whether the number is there."""
    vectors: NDArray[np.float32]
    """``[rows, width]``, given vectors as they came; zeros where missing."""
    vectors_mask: NDArray[np.bool_]
    """``[rows]``: whether the vector is there."""


@dataclass
class Vocabulary:
    """What it takes to encode a raw row."""

    categorical: dict[str, list[str]] = field(default_factory=dict)
    """Feature -> its categories, the code of the first being 1; frequent ones first."""
    numeric: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Feature -> (mean, standard deviation)."""
    vector: str = ""
    """Name of the vector column, empty without one."""
    width: int = 0
    """Width of the given vectors."""

    @property
    def sizes(self) -> list[int]:
        """Number of codes of each categorical feature, ``UNKNOWN`` included."""
        return [len(categories) + 1 for categories in self.categorical.values()]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for a JSON file."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read back what ``to_json`` returned."""
        numeric = {name: (float(mean), float(deviation)) for name, (mean, deviation) in data["numeric"].items()}
        return cls(dict(data["categorical"]), numeric, data["vector"], data["width"])


def fit(columns: Columns, categorical: Sequence[str], numeric: Sequence[str], vector: str = "") -> Vocabulary:
    """Learn the vocabulary of the named columns.

    Raises:
        InputError: if the given vectors are of several widths.
    """
    categories = {name: _categories(columns[name]) for name in categorical}
    scales = {name: _scale(columns[name]) for name in numeric}
    width = _width(vector, columns[vector]) if vector else 0
    return Vocabulary(categories, scales, vector, width)


def encode(vocabulary: Vocabulary, columns: Columns, rows: int) -> Features:
    """Turn rows into arrays; a column that is absent is missing in every row.

    Raises:
        InputError: for a given vector of another width.
    """
    categorical = np.zeros((rows, len(vocabulary.categorical)), dtype=np.int32)
    for place, (name, categories) in enumerate(vocabulary.categorical.items()):
        codes = {category: code for code, category in enumerate(categories, start=1)}
        if name in columns:
            categorical[:, place] = [codes.get(category_name(value), UNKNOWN) for value in columns[name]]
    numeric = np.zeros((rows, len(vocabulary.numeric)), dtype=np.float32)
    mask = np.zeros(numeric.shape, dtype=bool)
    for place, (name, (mean, deviation)) in enumerate(vocabulary.numeric.items()):
        if name in columns:
            values = _numbers(columns[name])
            mask[:, place] = np.isfinite(values)
            numeric[:, place] = np.where(mask[:, place], (values - mean) / deviation, 0.0)
    vectors, vectors_mask = _vectors(vocabulary, columns, rows)
    return Features(categorical, numeric, mask, vectors, vectors_mask)


def unreadable_numbers(values: Sequence[Any]) -> int:
    """Return how many values are there but are no finite number (words, NaN, infinities)."""
    given = [value for value in values if value is not None and value != ""]
    return int(np.count_nonzero(~np.isfinite(_numbers(given))))


def category_name(value: Any) -> str:
    """Return a raw value as the name of a category, empty where it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).strip()


def _categories(values: Sequence[Any]) -> list[str]:
    counts = Counter(category_name(value) for value in values)
    del counts[""]
    return sorted(counts, key=lambda category: (-counts[category], category))


def _numbers(values: Sequence[Any]) -> NDArray[np.float64]:
    """Return values as float64, NaN where one is missing or no number."""
    return np.array([number_or_nan(value) for value in values], dtype=np.float64)


def number_or_nan(value: Any) -> float:
    """Return a raw value as a number, NaN where it is missing or none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _scale(values: Sequence[Any]) -> tuple[float, float]:
    numbers = _numbers(values)
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return 0.0, 1.0
    return float(known.mean()), float(known.std()) or 1.0


def _width(name: str, values: Sequence[Any]) -> int:
    widths = Counter(len(value) for value in values if value is not None and len(value))
    if len(widths) > 1:
        listed = ", ".join(f"{width} ({rows:,} rows)" for width, rows in widths.most_common())
        raise InputError(f"the vectors in {name} have several widths: {listed}; one encoder's vectors are expected")
    return next(iter(widths), 0)


def _vectors(vocabulary: Vocabulary, columns: Columns, rows: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    vectors = np.zeros((rows, vocabulary.width), dtype=np.float32)
    mask = np.zeros(rows, dtype=bool)
    for row, value in enumerate(columns.get(vocabulary.vector, ())):
        if value is None or not len(value):
            continue
        if len(value) != vocabulary.width:
            raise InputError(
                f"row {row} has a vector {len(value)} wide in {vocabulary.vector}, but {vocabulary.width} was expected"
            )
        vector = np.asarray(value, dtype=np.float32)
        if np.all(np.isfinite(vector)):
            vectors[row], mask[row] = vector, True
    return vectors, mask
