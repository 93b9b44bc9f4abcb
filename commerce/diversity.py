"""What a single list is made of: novelty, tail share, diversity. None of them looks at what users chose.

``ranked`` is int32 ``[requests, depth]``, best first, ``NO_ITEM`` padded; answers are float64 ``[requests]``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_ITEM

Floats = NDArray[np.float64]


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
    return ratio(surprise[top].sum(axis=1), listed)


# Tail share@k: share of the first k that are tail items. Abdollahpouri, Burke & Mobasher 2017, "average percentage of
# tail items". What the tail is, `commerce.segments` says; papers draw the line elsewhere, so name it with the number.


def tail_share(ranked: NDArray[np.integer], k: int, tail: NDArray[np.bool_]) -> Floats:
    """Return the share of each list's first ``k`` items that are of the tail (``[items]``), ``[requests]``."""
    top = ranked[:, :k]
    of_tail = np.append(tail, False)[top]  # last: NO_ITEM
    return ratio(of_tail.sum(axis=1).astype(np.float64), np.count_nonzero(top >= 0, axis=1))


# Category diversity@k: share of the pairs among the first k whose leaf categories differ. Intra-list distance of Zhang
# & Hurley 2008 with the distance "another category"; one less the intra-list similarity of Ziegler et al. 2005.
# Clash: some call the number of different categories diversity.


def category_diversity(ranked: NDArray[np.integer], k: int, category: NDArray[np.integer]) -> Floats:
    """Return the share of pairs in each list's first ``k`` that are of two categories, ``[requests]``.

    Args:
        ranked: ``[requests, depth]``.
        k: cut-off.
        category: ``[items]``, code of each item's category; an item without one (below 0) is like no other.

    A list of fewer than two items has no pairs, and 0.
    """
    top = ranked[:, :k]
    listed = top != NO_ITEM
    code = np.where(listed, np.append(category, -1)[top], -1)
    # Sorted, equal codes stand together: a run of n holds n (n - 1) / 2 pairs, counted as its members come.
    ordered = np.sort(code, axis=1)
    place = np.arange(ordered.shape[1])
    begins = np.ones(ordered.shape, dtype=bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    nth = place - np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    alike = np.where(ordered >= 0, nth, 0).sum(axis=1)
    count = listed.sum(axis=1)
    pairs = count * (count - 1) // 2
    return ratio((pairs - alike).astype(np.float64), pairs)


# Vector diversity@k: mean of 1 - cosine over the pairs among the first k. Zhang & Hurley 2008; Smyth & McClave 2001.
# It is as good as the vectors: those of the towers flatter whoever does not rank by them.


def vector_diversity(ranked: NDArray[np.integer], k: int, vectors: NDArray[np.float32], block: int = 2_048) -> Floats:
    """Return the mean of 1 - cosine over all pairs of each list's first ``k`` items, ``[requests]``.

    Args:
        ranked: ``[requests, depth]``.
        k: cut-off.
        vectors: ``[items, dim]``, of unit length.
        block: requests looked at together; bounds memory, changes nothing.

    A list of fewer than two items has no pairs, and 0.
    """
    diversity = np.zeros(len(ranked))
    for start in range(0, len(ranked), block):
        top = ranked[start : start + block, :k]
        listed = top != NO_ITEM
        shown = np.where(listed[:, :, None], vectors[np.maximum(top, 0)], np.float32(0.0))
        count = listed.sum(axis=1)
        # |sum of vectors|^2 is the sum of all cosines, each item's with itself and each pair's twice.
        whole = np.square(shown.sum(axis=1, dtype=np.float64)).sum(axis=1)
        own = np.square(shown, dtype=np.float64).sum(axis=(1, 2))
        pairs = count * (count - 1)
        diversity[start : start + block] = np.where(pairs > 0, 1.0, 0.0) - ratio(whole - own, pairs)
    return diversity


def ratio(above: Floats, below: NDArray[np.number]) -> Floats:
    """Divide, answering 0 where there is nothing to divide by."""
    answer: Floats = np.zeros(len(above))
    np.divide(above, below, out=answer, where=below > 0)
    return answer
