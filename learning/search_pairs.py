"""Searches and what was chosen after them: the pairs from which a shop's own encoder learns what queries mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, NO_ITEM, NO_QUERY
from commerce.histories import Histories


def search_pairs(
    histories: Histories,
    cuts: NDArray[np.int64],
    texts: Sequence[str],
    queries: Sequence[str],
    targets: Mapping[str, float],
    most: int = 200_000,
) -> list[tuple[str, str]]:
    """Return (query, text of the next item with a target action in the same session), the last ``most`` of them.

    Args:
        histories: of all users.
        cuts: ``[users]``, absolute position where what may be trained on ends.
        texts: product text by item code.
        queries: text by query code.
        targets: the target actions, by name.
        most: pairs at most.
    """
    codes = [ACTION_CODES[action] for action in targets]
    position = np.arange(len(histories.item))
    user = np.searchsorted(histories.offsets, position, side="right") - 1
    trained = position < cuts[user]
    chosen = np.flatnonzero(np.isin(histories.action, codes) & (histories.item[:] != NO_ITEM) & trained)
    asked = np.flatnonzero((histories.query[:] != NO_QUERY) & (histories.item[:] == NO_ITEM) & trained)
    place = np.searchsorted(chosen, asked)
    some = place < len(chosen)
    asked, after = asked[some], chosen[place[some]]
    together = (user[asked] == user[after]) & (histories.session[asked] == histories.session[after])
    asked, after = asked[together][-most:], after[together][-most:]
    found = zip(histories.query[asked].tolist(), histories.item[after].tolist(), strict=True)
    return [(queries[query], texts[item]) for query, item in found]
