"""Which rows of a catalogue may be shown at a moment, whoever asks: worked out once for all requests of a moment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from retrieval.catalogue import Catalogue
from retrieval.filters import Allowed


@dataclass(frozen=True)
class Passing:
    """Rows that pass."""

    mask: NDArray[np.bool_] | None
    """``[rows]``; None where all pass."""
    count: int
    """Of the rows that pass."""
    share: float
    """Of all rows."""

    @cached_property
    def selector(self) -> Any:
        """FAISS's selector of these rows, None where all pass."""
        if self.mask is None:
            return None
        bitmap: Any = faiss.IDSelectorBitmap
        return bitmap(np.packbits(self.mask, bitorder="little"))

    def rows(self) -> NDArray[np.int64]:
        """Return the rows that pass, ascending."""
        return np.arange(self.count) if self.mask is None else np.flatnonzero(self.mask)

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Passing:
        """Return the rows of a mask, ``[rows]``."""
        count = int(mask.sum())
        return cls(None if count == len(mask) else mask, count, count / len(mask))


class Openings:
    """Looks up what passes at a moment, and remembers the last: most blocks, and most requests served, share theirs."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Start with a catalogue whose tombstones never pass."""
        self._catalogue = catalogue
        self.everything = Passing.of(catalogue.alive)
        self._bounds: tuple[Any, Any, int, int] | None = None
        self._last: tuple[Any, Any, Any, int, Passing] | None = None

    def at(self, allowed: Allowed, moment: int) -> Passing:
        """Return the rows whose items pass at ``moment``; what users exclude is not looked at."""
        since, until, only = allowed.available_from, allowed.available_until, allowed.only
        bounds, last = self._bounds, self._last
        if bounds is None or bounds[0] is not since or bounds[1] is not until:
            bounds = self._bounds = (since, until, int(since.max()), int(until.min()))
        open_to_all = bounds[2] <= moment < bounds[3]
        if open_to_all and only is None:
            return self.everything
        moment = bounds[2] if open_to_all else moment  # one such moment is as good as another
        if last is None or last[0] is not since or last[1] is not until or last[2] is not only or last[3] != moment:
            known = np.maximum(self._catalogue.ids, 0)
            mask = self._catalogue.alive & (since[known] <= moment) & (moment < until[known])
            if only is not None:
                mask &= only[known]
            last = self._last = (since, until, only, moment, Passing.of(mask))
        return last[4]
