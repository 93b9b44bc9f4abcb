"""The whole catalogue taken in blocks, so that memory does not grow with what is made of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_EMBEDDED_AT_ONCE = 4096
_RANKED_AT_ONCE = 16_384


def item_blocks(items: int, at_once: int = _EMBEDDED_AT_ONCE) -> list[slice]:
    """Return stretches of item codes, ascending, of at most ``at_once`` items."""
    return [slice(start, min(start + at_once, items)) for start in range(0, items, at_once)]


def top_items(
    users: Tensor,
    items: Tensor,
    k: int,
    hidden: Tensor,
    shut: Callable[[Tensor], Tensor] | None = None,
    at_once: int = _RANKED_AT_ONCE,
) -> Tensor:
    """Return the codes of each row's ``k`` best items of all, or of as many as there are, best first.

    Args:
        users: ``[rows, dim]`` float32.
        items: ``[items, dim]`` float32.
        k: items of a row.
        hidden: ``[pairs, 2]`` int64: (row, code) of what comes last.
        shut: item codes ``[block]`` -> bool ``[rows, block]``, what comes last too; none: nothing more.
        at_once: items that are scored at once; it bounds memory and changes nothing.

    Returns: int64 ``[rows, k]``. Of equal scores in different blocks the lower code comes first.
    """
    scores, codes = [], []
    for block in item_blocks(len(items), at_once):
        found = users @ items[block].T
        row, code = hidden[(hidden[:, 1] >= block.start) & (hidden[:, 1] < block.stop)].unbind(1)
        found[row, code - block.start] = -torch.inf
        if shut is not None:
            found.masked_fill_(shut(torch.arange(block.start, block.stop, device=items.device)), -torch.inf)
        best, place = found.topk(min(k, found.shape[1]), dim=1)
        scores.append(best)
        codes.append(place + block.start)
    order = torch.cat(scores, dim=1).sort(dim=1, descending=True, stable=True).indices[:, :k]
    return torch.cat(codes, dim=1).gather(1, order)
