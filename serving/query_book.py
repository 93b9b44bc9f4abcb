"""Search terms of one request: those of the log keep their codes and vectors, new ones are encoded when needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_QUERY
from serving.strings import Strings


class QueryBook:
    """Query texts by code, as ``commerce.state`` wants them, and their text vectors."""

    def __init__(
        self,
        known: Strings,
        vectors: NDArray[np.float32],
        encode: Callable[[Sequence[str]], NDArray[np.float32]],
    ) -> None:
        """Start with the log's queries.

        Args:
            known: the log's query texts.
            vectors: ``[known, text_dim]``, theirs.
            encode: texts to vectors, for those that the log does not have.
        """
        self._known, self._vectors, self._encode = known, vectors, encode
        self._new: list[str] = []

    def __len__(self) -> int:
        return len(self._known) + len(self._new)

    def __getitem__(self, code: int) -> str:
        return self._known[code] if code < len(self._known) else self._new[code - len(self._known)]

    @property
    def fresh(self) -> bool:
        """Whether there are search terms that will have to be encoded."""
        return bool(self._new)

    def code(self, text: str) -> int:
        """Return the code of a query, a new one where the log has none; ``NO_QUERY`` for an empty text."""
        text = text.strip()
        if not text:
            return NO_QUERY
        code = self._known.code(text)
        if code >= 0:
            return code
        if text not in self._new:
            self._new.append(text)
        return len(self._known) + self._new.index(text)

    def vectors(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the text vector of each code, zeros for ``NO_QUERY``; shape of ``codes`` and ``text_dim``."""
        found = np.zeros((*codes.shape, self._vectors.shape[1]), dtype=np.float32)
        stored = (codes != NO_QUERY) & (codes < len(self._known))
        found[stored] = self._vectors[codes[stored]]
        fresh = codes >= len(self._known)
        if fresh.any():
            found[fresh] = self._encode(self._new)[codes[fresh] - len(self._known)]
        return found
