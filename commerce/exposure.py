"""How lists spread exposure over the catalogue: coverage, Gini, parity of groups; not what users chose.

``ranked`` is int32 ``[requests, depth]``, best first, ``NO_ITEM`` padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from commerce.diversity import ratio
from commerce.intervals import Interval, user_weights
from commerce.metrics import discount

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
    return ratio(weighted, catalogue * total)


# Exposure parity@k: exposure per item of the group of items that has least of it, over that of the group that has most;
# 1 where all groups are shown alike, 0 where one is never shown. A place p weighs 1 / log2(p + 1). "Demographic parity"
# of Singh & Joachims 2018, as a ratio. It says nothing of merit: a group that users want less may deserve less.


def exposure_parity(exposure: Floats, sizes: NDArray[np.integer]) -> Floats:
    """Return the smallest over the largest exposure per item of any group, ``[rows]``; 1 where nothing was shown.

    Args:
        exposure: ``[rows, groups]``, weighted places that the items of each group got.
        sizes: ``[groups]``, items of each group; groups without items do not count.
    """
    each = exposure[:, sizes > 0] / sizes[sizes > 0]
    most = each.max(axis=1, initial=0.0)
    parity: Floats = np.where(most > 0, ratio(each.min(axis=1, initial=np.inf), most), 1.0)
    return parity


@dataclass(frozen=True)
class Spread:
    """How one system spreads exposure at one cut-off, and how it does when users are drawn anew."""

    names: tuple[str, ...]
    """``coverage``, ``gini`` and, where items are in groups, ``exposure_parity``."""
    values: Floats
    """``[names]``."""
    drawn: Floats
    """``[RESAMPLES, names]``, the draws alike for all systems on the same requests."""


def spread(
    ranked: NDArray[np.integer],
    users: NDArray[np.integer],
    k: int,
    catalogue: int,
    seed: int,
    group: NDArray[np.integer] | None = None,
) -> Spread:
    """Return the measures of spread, once for all users and once for each draw of them.

    Args:
        ranked: ``[requests, depth]``.
        users: ``[requests]``.
        k: cut-off.
        catalogue: number of items that could be shown.
        seed: of the draws.
        group: ``[items]``, code of each item's group, below 0 for none; None where no group is declared.
    """
    _, row = np.unique(users, return_inverse=True)
    top = ranked[:, :k]
    listed = top >= 0
    items, column = np.unique(top[listed], return_inverse=True)
    owner = np.broadcast_to(row[:, None], top.shape)[listed]
    count = int(row.max()) + 1
    shown = sparse.coo_array((np.ones(len(owner)), (column, owner)), (len(items), count)).tocsr()
    draws = [np.ones((1, count)), *user_weights(count, RESAMPLES, seed)]
    drawn = np.concatenate([_spread_rows((shown @ weights.T).T, catalogue) for weights in draws])
    names: tuple[str, ...] = ("coverage", "gini")
    if group is not None:
        sizes = np.bincount(group[group >= 0])
        exposed = _group_exposure(top, row, group, (count, len(sizes)))
        parity = np.concatenate([exposure_parity(weights @ exposed, sizes) for weights in draws])
        drawn, names = np.column_stack([drawn, parity]), (*names, "exposure_parity")
    return Spread(names, drawn[0], drawn[1:])


def spread_intervals(spreads: Sequence[Spread], confidence: float) -> list[Interval]:
    """Return the intervals of one system's measures of spread, or of first - second where two are given.

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


def _group_exposure(
    top: NDArray[np.integer], row: NDArray[np.integer], group: NDArray[np.integer], shape: tuple[int, int]
) -> Floats:
    """Return what each user's lists give to each group, ``[users, groups]``; ``row`` ([requests]) says whose."""
    of_group = np.append(group, -1)[top]  # last: NO_ITEM
    counted = of_group >= 0
    weights = np.broadcast_to(discount(np.arange(top.shape[1])), top.shape)[counted]
    owner = np.broadcast_to(row[:, None], top.shape)[counted]
    cells = np.bincount(owner * shape[1] + of_group[counted], weights=weights, minlength=shape[0] * shape[1])
    return cells.astype(np.float64).reshape(shape)
