"""First values of the id residuals: which items the same users met near each other."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from commerce.columns import NO_ITEM
from commerce.histories import Histories
from commerce.stretches import stretches
from towers.module import TwoTower

_REACH = 5
"""Pairs of a user's events at most this far apart are counted ..."""
_FADING = 0.7
"""... each event in between making a pair count less by this factor."""
_EVENTS = 10_000_000
"""Events that are counted, of users drawn evenly: bounds memory at some 3 GB, whatever the log."""
_BLOCK = 1_000_000
_SMOOTHED = 0.75
"""Power of an item's share among all pairs by which chance is reckoned (Levy et al. 2015): rare items, of which a pair
or two says little, gain no more than others."""
_POWER_ITERATIONS = 4
_MEASURED = 1024
"""Items by whose content the length of the residuals is set."""


def start_from_pairs(module: TwoTower, histories: Histories, stops: NDArray[np.int64], seed: int) -> None:
    """Set the id residuals so that items met near each other by the same users start near each other.

    Random residuals must learn this from the loss, step by step, and overfit before they know it of rare items. The
    median residual becomes as long as an item's content, so that both say as much; rarer ones are shorter, and their
    text tells more. Residuals are trained on from there.

    Args:
        module: untrained, with its catalogue attached.
        histories: of all users.
        stops: ``[users]``, absolute position where what may be read of each ends.
        seed: of the users drawn and of the decomposition.
    """
    facts, tower = module.facts, module.item
    pairs = count_pairs(histories, histories.offsets[:-1], stops, len(facts.items), seed)
    if not pairs.nnz:
        return
    places = spectral_embedding(pairs, tower.residual.embedding_dim, seed)
    lengths = places.norm(dim=1)
    rows = facts.items.residual
    own = (rows > 0) & (lengths > 0)
    if not own.any():
        return
    some = facts.items.rows(torch.linspace(0, len(rows) - 1, min(_MEASURED, len(rows))).long())
    with torch.no_grad():
        content = tower.content(
            some.text.float(), some.categorical, some.numeric, some.numeric_mask, some.vectors, some.vectors_mask
        )
        scale = content.norm(dim=1).median() / lengths[own].median()
        tower.residual.weight[rows[own]] = places[own] * scale


def count_pairs(
    histories: Histories, starts: NDArray[np.int64], stops: NDArray[np.int64], items: int, seed: int
) -> sparse.csr_matrix:
    """Return how often items were met near each other, ``[items, items]`` float32, symmetric, diagonal empty.

    Args:
        histories: of all users.
        starts: ``[users]``, absolute position of the first event counted.
        stops: ``[users]``, absolute position where they end.
        items: size of the catalogue.
        seed: of the users drawn where there are more than ten million events.
    """
    random, lengths = np.random.default_rng(seed), np.maximum(stops - starts, 0)
    order = random.permutation(len(lengths))
    users = np.sort(order[: np.searchsorted(np.cumsum(lengths[order]), _EVENTS, side="right") + 1])
    users = users[lengths[users] > 1]
    counted = sparse.csr_matrix((items, items), dtype=np.float32)
    ends = np.cumsum(lengths[users])
    first = 0
    while first < len(users):
        last = max(first + 1, int(np.searchsorted(ends, (ends[first - 1] if first else 0) + _BLOCK, side="right")))
        block = users[first:last]
        counted = counted + _pairs_of(histories, starts[block], lengths[block], items, random)
        first = last
    return (counted + counted.T).tocsr()


def spectral_embedding(pairs: sparse.csr_matrix, dim: int, seed: int) -> Tensor:
    """Return vectors of items, ``[items, dim]`` float32, whose products tell how much more two met than by chance.

    The products come nearest to the positive pointwise mutual information, max(0, log p(a, b) / (p(a) p(b))): what
    word2vec learns of pairs by steps (Levy and Goldberg 2014). Of vectors with ``dim`` numbers those that the first
    eigenvectors give, times the roots of their values, are the best (Eckart and Young 1936); the decomposition is
    random (Halko et al. 2011), from ``seed``.

    Args:
        pairs: ``[items, items]``, symmetric, not negative.
        dim: width of the vectors.
        seed: of the decomposition.

    Returns: vectors; an item that met none more than by chance has zeros.
    """
    information = _mutual_information(pairs)
    size = information.shape[0]
    place = torch.from_numpy(np.stack([information.row, information.col]).astype(np.int64))
    numbers = torch.from_numpy(information.data.astype(np.float32))
    matrix = torch.sparse_coo_tensor(place, numbers, (size, size), check_invariants=False)
    width = min(dim, size)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        left, values, right = torch.svd_lowrank(matrix.coalesce(), q=min(size, width + 10), niter=_POWER_ITERATIONS)
    left, values, right = left[:, :width], values[:width], right[:, :width]
    # A negative eigenvalue has left and right vectors of opposite sign: no inner product can tell it.
    values = values * ((left * right).sum(dim=0) > 0)
    vectors = torch.zeros(size, dim)
    vectors[:, :width] = left * values.sqrt()
    return vectors


def _mutual_information(pairs: sparse.csr_matrix) -> sparse.coo_matrix:
    """Return the positive pointwise mutual information of pairs, symmetric, ``[items, items]``."""
    degree = np.asarray(pairs.sum(axis=1), dtype=np.float64).ravel()
    smoothed = degree**_SMOOTHED
    smoothed /= smoothed.sum()
    found = pairs.tocoo()
    told = np.log(found.data / (degree[found.row] * smoothed[found.col]))
    more = told > 0
    positive = sparse.coo_matrix((told[more], (found.row[more], found.col[more])), shape=pairs.shape).tocsr()
    return ((positive + positive.T) / 2).tocoo()


def _pairs_of(
    histories: Histories,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    items: int,
    random: np.random.Generator,
) -> sparse.csr_matrix:
    """Return the pairs of some users, from the earlier to the later event; those of one time stand in any order."""
    row, position = stretches(starts, lengths)
    order = np.lexsort((random.random(len(row)), np.asarray(histories.time[position]), row))
    item = np.asarray(histories.item[position])[order]
    row, item = row[item != NO_ITEM], item[item != NO_ITEM]
    found = sparse.csr_matrix((items, items), dtype=np.float32)
    for step in range(1, _REACH + 1):
        both = (row[step:] == row[:-step]) & (item[step:] != item[:-step])
        earlier, later = item[:-step][both], item[step:][both]
        weight = np.full(len(earlier), _FADING ** (step - 1), dtype=np.float32)
        found = found + sparse.csr_matrix((weight, (earlier, later)), shape=(items, items))
    return found
