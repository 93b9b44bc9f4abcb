"""First intent labels, by rule, from what the rest of a session shows.

buy: a cart or a purchase follows; compare: no purchase, but several items of one leaf category, or a return to an
item after another one; browse: anything else follows; no label where nothing does. The rest of a session is cut at
the end of the window, so that no label knows of a later one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, INTENTS, NO_INTENT, NO_ITEM
from commerce.histories import Histories

_BROWSE, _COMPARE, _BUY = (INTENTS.index(name) for name in ("browse", "compare", "buy"))


def label_positions(
    histories: Histories, window: NDArray[np.int8], leaf_of_item: NDArray[np.int32]
) -> NDArray[np.int8]:
    """Label each history position; see ``label_moments``."""
    return label_moments(histories, window, leaf_of_item, histories.session, window, histories.time)


def label_moments(
    histories: Histories,
    window: NDArray[np.int8],
    leaf_of_item: NDArray[np.int32],
    moment_session: NDArray[np.int64],
    moment_window: NDArray[np.int8],
    moment_time: NDArray[np.int64],
) -> NDArray[np.int8]:
    """Label moments by the strictly later events of their session and window.

    Args:
        histories: all events.
        window: ``[events]``, the window of each.
        leaf_of_item: ``[items]``, code of the leaf category, -1 without one.
        moment_session: ``[moments]``; a session that is not in the histories gets no label.
        moment_window: ``[moments]``.
        moment_time: ``[moments]``.

    Returns: int8 ``[moments]``, a code in ``INTENTS`` or ``NO_INTENT``.
    """
    order = np.lexsort((np.arange(len(window)), histories.time, window, histories.session))
    key = _block_key(histories.session, window)[order]
    rest, ends = _later(key, histories.time[order], _block_key(moment_session, moment_window), moment_time)

    action, item = histories.action[order], histories.item[order]
    buys = _counted((action == ACTION_CODES["cart"]) | (action == ACTION_CODES["purchase"]))
    returns = _counted(_is_return(key, item))
    labels = np.full(len(rest), NO_INTENT, dtype=np.int8)
    some = rest < ends
    rest, ends = rest[some], ends[some]
    twins = _last_of_twins(key, item, leaf_of_item)[ends - 1]
    buy = buys[ends] > buys[rest]
    compare = (returns[ends] > returns[rest]) | (twins >= rest)
    labels[some] = np.where(buy, _BUY, np.where(compare, _COMPARE, _BROWSE))
    return labels


def _block_key(session: NDArray[np.int64], window: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return one number per (session, window), in the same order as the pair; windows are -1 to 6."""
    return session.astype(np.int64) * 8 + window + 1


def _later(
    key: NDArray[np.int64], time: NDArray[np.int64], moment_key: NDArray[np.int64], moment_time: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where, among events sorted by (key, time), those later than each moment begin and end."""
    events = len(key)
    keys, times = np.concatenate([key, moment_key]), np.concatenate([time, moment_time])
    is_moment = np.repeat([0, 1], [events, len(moment_key)])
    order = np.lexsort((is_moment, times, keys))
    seen = np.empty(len(keys), dtype=np.int64)
    seen[order] = np.cumsum(1 - is_moment[order])
    return seen[events:], np.searchsorted(key, moment_key, side="right")


def _counted(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many flags stand before each place, ``[events + 1]``."""
    return np.concatenate([[0], np.cumsum(flags)])


def _is_return(block: NDArray[np.int64], item: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return whether an event meets an item of its block again, after another item."""
    back = np.zeros(len(item), dtype=bool)
    place = np.flatnonzero(item != NO_ITEM)
    blocks, items = block[place], item[place]
    changed = np.zeros(len(place), dtype=bool)
    changed[1:] = (blocks[1:] == blocks[:-1]) & (items[1:] != items[:-1])
    order = np.lexsort((np.arange(len(place)), items, blocks))
    again = np.zeros(len(place), dtype=bool)
    same = (blocks[order][1:] == blocks[order][:-1]) & (items[order][1:] == items[order][:-1])
    again[order[1:]] = same
    back[place] = again & changed
    return back


def _last_of_twins(
    block: NDArray[np.int64], item: NDArray[np.int32], leaf_of_item: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Return, for each event's block, the greatest place after which the same leaf comes again with another item.

    -1 where there is none; ``[events]``.
    """
    starts = np.ones(len(block), dtype=bool)
    starts[1:] = block[1:] != block[:-1]
    number = np.cumsum(starts) - 1
    last = np.full(starts.sum(), -1, dtype=np.int64)
    place = np.flatnonzero(item != NO_ITEM)
    leaf = leaf_of_item[item[place]]
    place, leaf = place[leaf >= 0], leaf[leaf >= 0]
    order = np.lexsort((place, leaf, number[place]))
    place, leaf = place[order], leaf[order]
    one, two = place[:-1], place[1:]
    twins = (number[one] == number[two]) & (leaf[1:] == leaf[:-1]) & (item[one] != item[two])
    np.maximum.at(last, number[one[twins]], one[twins])
    of_events: NDArray[np.int64] = last[number]
    return of_events
