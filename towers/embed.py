"""Vectors of items and of the users behind requests, as the rest of the way reads them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from commerce.columns import INTENTS
from towers.module import TwoTower
from towers.validation import AskedBatches

Floats = NDArray[np.float32]
_ITEMS_AT_ONCE = 16_384


@torch.no_grad()
def embed_items(module: TwoTower) -> Floats:
    """Return the vectors of all items of the attached catalogue, float32 ``[items, dim]``, unit length."""
    module.eval()
    codes = torch.arange(len(module.facts.items))
    parts = [module.encode_items(part) for part in torch.split(codes, _ITEMS_AT_ONCE)]
    return torch.cat(parts).numpy()


@torch.no_grad()
def embed_users(module: TwoTower, items: Floats, batches: AskedBatches) -> tuple[Floats, Floats, Floats]:
    """Return what the user tower makes of requests.

    Args:
        module: with its catalogue attached.
        items: ``[items, dim]`` of ``embed_items``.
        batches: the requests.

    Returns: ``(vectors, intents, states)``, float32 ``[requests, dim]``, ``[requests, 3]`` and ``[requests, dim]``,
    in the order of the requests.
    """
    module.eval()
    dim, size = items.shape[1], len(batches.requests)
    vectors, states = np.zeros((size, dim), dtype=np.float32), np.zeros((size, dim), dtype=np.float32)
    intents = np.zeros((size, len(INTENTS)), dtype=np.float32)
    known = torch.from_numpy(items)
    for number in range(len(batches)):
        batch = batches[number]
        last = module.read(batch, known, module.encode_asked(batch))[torch.arange(len(batch.user)), batch.count]
        rows = batch.request.numpy()
        vectors[rows] = module.user.vectors(last).numpy()
        intents[rows] = module.intent(last).numpy()
        states[rows] = last.numpy()
    return vectors, intents, states
