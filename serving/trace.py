"""What was computed for one request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.blending import Found
from retrieval.filters import Allowed
from serving.visible import Visible


@dataclass(frozen=True)
class Trace:
    """All that was computed for one request, in codes; arrays are ``[candidates]`` unless said."""

    vector: NDArray[np.float32]
    """``[dim]``, unit length."""
    intents: NDArray[np.float32]
    """``[3]``, in the order of ``INTENTS``; empty for an unpersonalised bundle."""
    items: NDArray[np.int32]
    """Best first."""
    scores: NDArray[np.float32]
    """Falling: fused with the reranker's where it read, else reciprocal rank over the sources."""
    found: Found
    """The same candidates in blended order, with what each source said of them."""
    context: str
    """What the reranker was told of the request, empty where it did not read."""
    reranked: int
    """Leading candidates that the reranker read."""
    visible: Visible
    ranked: NDArray[np.int32]
    """Best first, before the shop's own rules; the same as ``items`` where it has none."""
    allowed: Allowed
    """What the request may be answered with."""
    moment: int
    """Microseconds UTC: of the request."""
    chances: NDArray[np.float64] | None
    """``[candidates, actions]`` in blended order: the probabilities told; None where none are."""
    seconds: Mapping[str, float]
    """What each step took (``serving.pace``)."""
    cut_short: str
    """Where the request's time ran out, empty where it did not."""
