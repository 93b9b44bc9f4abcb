"""Tastes: which items the whole of a history speaks for or against, whatever the order, and what is in season now.

The weights are those of EASE (Steck 2019, "Embarrassingly Shallow Autoencoders"): the linear map, with a zero
diagonal and a ridge, that best rebuilds who had what. It has a closed form, so there is nothing to train. It knows a
whole log at once and so misses the season: each weight is multiplied by the trend of the item that it leads to.
"""

from __future__ import annotations

import ibis.expr.types as ir
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from commerce.associations import last_days
from commerce.edges import Edges

_TREND = 0.7
"""Power of (recent users) / (all users). On products new to Complete Journey's households NDCG@10 in the ranker and
validation windows was .031 / .028 with power 0, .036 / .030 with .6 and .037 / .028 with 1."""
_USERS = 65_536
"""Users whose items are multiplied together."""


def count_tastes(events: ir.Table, items: int, *, most: int, ridge: float, neighbours: int, days: float) -> Edges:
    """Return how strongly having each item speaks for others; a weight may be negative.

    Args:
        events: as ``counted_events`` gives them.
        items: number of items.
        most: only so many items, those of most users lately, have tastes; work grows with its cube.
        ridge: in multiples of how many users such an item has on average; the larger, the more alike all weights.
        neighbours: edges kept per item, the largest by size; ties by item code.
        days: what is lately, as for ``last_days``; 0 leaves the trend out.
    """
    ever, recent = _users(events, items), _users(last_days(events, days), items)
    chosen = np.lexsort((np.arange(items), -recent))[: min(most, int((recent > 0).sum()))]
    if not len(chosen):
        return Edges(np.zeros(items + 1, dtype=np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    together = _together(events, chosen, items)
    weights = _ease(together, ridge * float(np.diag(together).mean()))
    if days:
        trend = (recent[chosen] + 1.0) / (ever[chosen] + 10.0)
        weights *= (trend / trend.mean()) ** _TREND
    return _strongest(weights.astype(np.float32), chosen, items, neighbours)


def _users(events: ir.Table, items: int) -> NDArray[np.float64]:
    counted = events.group_by("item").agg(users=events.user.nunique()).to_pyarrow()
    users = np.zeros(items)
    users[counted["item"].to_numpy()] = counted["users"].to_numpy()
    return users


def _together(events: ir.Table, chosen: NDArray[np.int64], items: int) -> NDArray[np.float64]:
    """Return how many users had both of two items, ``[chosen, chosen]``; the diagonal counts those who had one."""
    place = np.full(items, -1)
    place[chosen] = np.arange(len(chosen))
    pairs = events.filter(events.item.isin(chosen.tolist())).select("user", "item").distinct().to_pyarrow()
    user, item = pairs["user"].to_numpy(), place[pairs["item"].to_numpy()]
    order = np.argsort(user, kind="stable")
    user, item = user[order], item[order]
    together = np.zeros((len(chosen), len(chosen)))
    for first in range(0, int(user.max()) + 1, _USERS):
        span = slice(*np.searchsorted(user, [first, first + _USERS]))
        ones = np.ones(span.stop - span.start, dtype=np.float32)
        had = sp.csr_matrix((ones, (user[span] - first, item[span])), shape=(_USERS, len(chosen)))
        together += (had.T @ had).toarray()
    return together


def _ease(together: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """Return EASE's weights: row i is what having item i adds to the others."""
    inverse = np.linalg.inv(together + ridge * np.eye(len(together)))
    weights: NDArray[np.float64] = -inverse / np.diag(inverse)[None, :]
    np.fill_diagonal(weights, 0.0)
    return weights


def _strongest(weights: NDArray[np.float32], chosen: NDArray[np.int64], items: int, neighbours: int) -> Edges:
    """Keep the largest weights of each row, by size, under item codes."""
    size = np.abs(weights)
    order = np.lexsort((np.broadcast_to(chosen, size.shape), -size), axis=-1)[:, :neighbours]
    kept = np.take_along_axis(weights, order, axis=1)
    used = kept != 0
    counts = np.zeros(items, dtype=np.int64)
    counts[chosen] = used.sum(axis=1)
    by_code = np.argsort(chosen)
    used, kept, other = used[by_code], kept[by_code], chosen[order][by_code].astype(np.int32)
    return Edges(np.concatenate([[0], np.cumsum(counts)]), other[used], kept[used])
