"""Filters by declared fields of items: ``{"brand": ["Zenkai"], "category": ["Sports"], "price": {"max": 20}}``.

An item passes when it passes for every field named. A list asks for any of its values; of a path such as
``Sports > yoga mat`` every leading part is a value too. A range holds its ends, either of which may be missing. An item
that lacks a field does not pass for it.
"""

from __future__ import annotations

import difflib
import json
import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

Where = Mapping[str, Sequence[Any] | Mapping[str, float]]
"""A list of values or a range, ``{"min": ..., "max": ...}``, by field."""
PATH = " > "
_ENDS = ("min", "max")
_REMEMBERED = 64
"""Answers kept: most requests ask for one of few categories."""


class FieldTable:
    """Fields of all items by code, one column each: numbers, or values by number of their first appearance."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Read the fields of item 0, 1, and so on; a field that only holds numbers becomes a column of numbers."""
        columns: dict[str, dict[int, Any]] = {}
        self.items = 0
        for code, row in enumerate(rows):
            self.items = code + 1
            for name, value in row.items():
                if value is not None and value != "":
                    columns.setdefault(name, {})[code] = value
        self._numbers: dict[str, NDArray[np.float64]] = {}
        self._values: dict[str, tuple[NDArray[np.int32], list[str]]] = {}
        for name, known in columns.items():
            if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known.values()):
                self._numbers[name] = np.full(self.items, np.nan)
                self._numbers[name][list(known)] = list(known.values())
            else:
                numbers: dict[str, int] = {}
                codes = np.full(self.items, -1, dtype=np.int32)
                codes[list(known)] = [numbers.setdefault(str(value), len(numbers)) for value in known.values()]
                self._values[name] = codes, list(numbers)
        self._answers: OrderedDict[str, NDArray[np.bool_]] = OrderedDict()

    @property
    def fields(self) -> tuple[str, ...]:
        """Names that a filter may use, in order of the alphabet."""
        return tuple(sorted({*self._numbers, *self._values}))

    def passing(self, where: Where) -> NDArray[np.bool_]:
        """Return which items pass, ``[items]``; the same array for the same question, so that what hangs on it is kept.

        Raises:
            InputError: for a field or value that no item has, a condition of another kind than the field, or where
                nothing passes.
        """
        key = json.dumps(where, sort_keys=True, default=str)
        if key not in self._answers:
            masks = {name: self._one(name, condition) for name, condition in where.items()}
            mask = np.logical_and.reduce([np.ones(self.items, dtype=bool), *masks.values()])
            if not mask.any():
                each = ", ".join(f"{name} alone {int(one.sum()):,}" for name, one in masks.items())
                raise InputError(f"no item passes {key} ({each} of {self.items:,}); ask for less")
            self._answers[key] = mask
            if len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
        self._answers.move_to_end(key)
        return self._answers[key]

    def _one(self, name: str, condition: Sequence[Any] | Mapping[str, float]) -> NDArray[np.bool_]:
        if name not in self.fields:
            raise InputError(
                f"items have no field {name!r}{_near(name, self.fields)}; there are {', '.join(self.fields)}"
            )
        if isinstance(condition, Mapping):
            return self._range(name, condition)
        if isinstance(condition, str) or not isinstance(condition, Sequence) or not condition:
            raise InputError(f"{name} takes a list of values or a range {{'min': ..., 'max': ...}}, got {condition!r}")
        if name in self._numbers:
            return np.isin(self._numbers[name], [_number(name, value) for value in condition])
        codes, values = self._values[name]
        passes = np.zeros(len(values) + 1, dtype=bool)  # the last one for items without a value
        for wanted in map(str, condition):
            fitting = [value == wanted or value.startswith(wanted + PATH) for value in values]
            if not any(fitting):
                parts = list(dict.fromkeys([*values, *(part for value in values for part in value.split(PATH))]))
                raise InputError(f"no item has {name} {wanted!r}{_near(wanted, parts)}")
            passes[:-1] |= fitting
        return passes[codes]

    def _range(self, name: str, condition: Mapping[str, float]) -> NDArray[np.bool_]:
        if name not in self._numbers:
            raise InputError(
                f"{name} holds words, so a range {dict(condition)!r} asks nothing of it; give a list of values"
            )
        if not condition or not set(condition) <= set(_ENDS):
            raise InputError(f"a range of {name} has 'min', 'max' or both, got {dict(condition)!r}")
        low, high = _number(name, condition.get("min", -math.inf)), _number(name, condition.get("max", math.inf))
        if low > high:
            raise InputError(
                f"a range of {name} from {low:g} to {high:g} holds nothing; its ends are the wrong way round"
            )
        numbers = self._numbers[name]
        return (numbers >= low) & (numbers <= high)


def _number(name: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise InputError(f"{name} holds numbers, got {value!r}")
    return number


def _near(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
