"""What lists show of the catalogue: coverage, Gini, novelty. None of them looks at what users chose.

``ranked`` is int32 ``[requests, depth]``, best first, ``NO_ITEM`` padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from commerce.intervals import Interval, user_weights

Floats = NDArray[np.float64]

RESAMPLES = 100
"""Draws behind the intervals of coverage and Gini: enough for a standard error, which is all that is read from them."""


def exposures(ranked: NDArray[np.integer], k: int, items: int) -> NDArray[np.int64]:
    """Return in how many of the lists each item stands among the first ``k``, ``[items]``."""
    top = ranked[:, :k].ravel()
    return np.bincount(top[top >= 0], minlength=items)


# Coverage@k: share of the catalogue that anyone was shown. Ge, Delgado-Battenfeld & Jannach 2010, "catalog coverage".
# Clash: also the share of users who could be served at all. It grows with the number of requests, so compare only
# systems measured on the same ones.


def coverage(shown: NDArray[np.number], catalogue: int) -> float:
    """Return the share of ``catalogue`` items whose exposure (``shown``, ``[items]``) is above zero."""
    return float(np.count_nonzero(shown) / catalogue)


# Gini@k: how unequally items are shown; 0 all alike, near 1 a few get everything. Fleder & Hosanagar 2009.
# Items never shown count. Clash: some report 1 - Gini as "diversity".


def gini(shown: NDArray[np.number], catalogue: int) -> float:
    """Return the Gini coefficient of exposures over ``catalogue`` items; 0 where nothing was shown."""
    return float(_gini_rows(np.asarray(shown, dtype=np.float64)[None], catalogue)[0])


def _gini_rows(shown: Floats, catalogue: int) -> Floats:
    """Return the Gini coefficient of each row; columns missing from ``catalogue`` are items never shown."""
    ordered = np.sort(shown, axis=1)
    place = np.arange(catalogue - ordered.shape[1], catalogue) + 1.0
    total = ordered.sum(axis=1)
    weighted = ordered @ (2.0 * place - catalogue - 1.0)
    return _ratio(weighted, catalogue * total)


# Novelty@k: mean of -log2 p(item) over the first k, p being the item's share of the events counted before the window.
# Zhou et al. 2010; Vargas & Castells 2011, "mean self-information". One event is added to each item, so that an item
# nobody met has a finite surprise. Clash: some call "novel" what this very user has not had.


def novelty(ranked: NDArray[np.integer], k: int, events: NDArray[np.integer]) -> Floats:
    """Return the mean self-information, in bits, of each list's first ``k`` items, ``[requests]``; 0 for no items.

    Args:
        ranked: ``[requests, depth]``.
        k: cut-off.
        events: ``[items]``, events of each item before the window.
    """
    surprise = np.append(-np.log2((events + 1.0) / (events.sum() + len(events))), 0.0)  # last: NO_ITEM
    top = ranked[:, :k]
    listed = np.count_nonzero(top >= 0, axis=1)
    return _ratio(surprise[top].sum(axis=1), listed)


@dataclass(frozen=True)
class Spread:
    """Coverage and Gini of one system at one cut-off, with what they are when users are drawn anew."""

    values: Floats
    """``[2]``: coverage, Gini."""
    drawn: Floats
    """``[RESAMPLES, 2]``, the draws alike for all systems on the same requests."""


NAMES = ("coverage", "gini")


def spread(ranked: NDArray[np.integer], users: NDArray[np.integer], k: int, catalogue: int, seed: int) -> Spread:
    """Return coverage and Gini, once for all users (``[requests]``) and once for each draw of them."""
    _, row = np.unique(users, return_inverse=True)
    top = ranked[:, :k]
    listed = top >= 0
    items, column = np.unique(top[listed], return_inverse=True)
    owner = np.broadcast_to(row[:, None], top.shape)[listed]
    count = int(row.max()) + 1
    shown = sparse.coo_array((np.ones(len(owner)), (column, owner)), (len(items), count)).tocsr()
    values = _spread_rows(np.asarray(shown.sum(axis=1))[None], catalogue)[0]
    drawn = [_spread_rows((shown @ weights.T).T, catalogue) for weights in user_weights(count, RESAMPLES, seed)]
    return Spread(values, np.concatenate(drawn))


def spread_intervals(spreads: Sequence[Spread], confidence: float) -> list[Interval]:
    """Return the intervals of ``coverage`` and ``gini`` of one system, or of first - second where two are given.

    A draw of users holds fewer different users than there are, so it covers less than all of them: the quantiles of
    the draws lie beside the value. Only their standard error is used, around the value.
    """
    values, drawn, bounds = spreads[0].values, spreads[0].drawn, (0.0, 1.0)
    if len(spreads) == 2:
        values, drawn = values - spreads[1].values, drawn - spreads[1].drawn
        bounds = (-1.0, 1.0)
    reach = NormalDist().inv_cdf(0.5 + confidence / 2.0) * drawn.std(axis=0, ddof=1)
    low, high = np.clip(values - reach, *bounds), np.clip(values + reach, *bounds)
    return [Interval(float(v), float(a), float(b)) for v, a, b in zip(values, low, high, strict=True)]


def _spread_rows(shown: Floats, catalogue: int) -> Floats:
    covered = np.count_nonzero(shown, axis=1) / catalogue
    return np.stack([covered, _gini_rows(shown, catalogue)], axis=1)


def _ratio(above: Floats, below: NDArray[np.number]) -> Floats:
    """Divide, answering 0 where there is nothing to divide by."""
    answer: Floats = np.zeros(len(above))
    np.divide(above, below, out=answer, where=below > 0)
    return answer
