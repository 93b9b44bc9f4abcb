"""Vectors of items and of the users behind requests, as the rest of the way reads them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from towers.lenders import Lenders
from towers.module import TwoTower
from towers.validation import Asked, AskedBatches
from towers.whole import item_blocks

Floats = NDArray[np.float32]


@torch.no_grad()
def embed_block(module: TwoTower, block: slice, lenders: Lenders | None) -> Floats:
    """Return the vectors of a stretch of the attached catalogue, float32 ``[block, dim]``, unit length.

    Args:
        module: with its catalogue attached.
        block: of item codes.
        lenders: of ``module.lenders()``: the same for every block.
    """
    module.eval()
    vectors: Floats = module.encode_items(torch.arange(block.start, block.stop), lenders=lenders).numpy()
    return vectors


def embed_items(module: TwoTower) -> Floats:
    """Return the vectors of all items of the attached catalogue, float32 ``[items, dim]``, unit length."""
    vectors = np.empty((len(module.facts.items), module.settings["dim"]), dtype=np.float32)
    lenders = module.eval().lenders()
    for block in item_blocks(len(vectors)):
        vectors[block] = embed_block(module, block, lenders)
    return vectors


@torch.no_grad()
def embed_batch(module: TwoTower, items: Floats, batch: Asked) -> tuple[Floats, Floats]:
    """Return what the user tower makes of some requests.

    Args:
        module: with its catalogue attached.
        items: ``[items, dim]``, all item vectors; on disk, if need be, as only those of the histories are looked up.
        batch: the requests.

    Returns: ``(vectors, states)``, float32 ``[batch, dim]`` each.
    """
    module.eval()
    read = torch.from_numpy(items[batch.encoded.numpy()])
    states = module.read(batch, read, module.encode_asked(batch))
    last = states[torch.arange(len(batch.user)), batch.count]
    return module.user.vectors(last).numpy(), last.numpy()


@torch.no_grad()
def embed_intents(module: TwoTower, states: Floats, statistics: Floats) -> Floats:
    """Return the chances of each intent, float32 ``[requests, 3]``.

    Args:
        module: with a fitted head.
        states: ``[requests, dim]`` of ``embed_batch``.
        statistics: ``[requests, statistics]``, as ``commerce.session_statistics`` counts them.
    """
    chances: Floats = module.intent(torch.from_numpy(states), torch.from_numpy(statistics)).numpy()
    return chances


def embed_users(module: TwoTower, items: Floats, batches: AskedBatches) -> tuple[Floats, Floats]:
    """Return what the user tower makes of requests.

    Args:
        module: with its catalogue attached.
        items: ``[items, dim]`` of ``embed_items``.
        batches: the requests.

    Returns: ``(vectors, states)``, float32 ``[requests, dim]`` each, in the order of the requests.
    """
    dim, size = items.shape[1], len(batches.requests)
    vectors, states = np.zeros((size, dim), dtype=np.float32), np.zeros((size, dim), dtype=np.float32)
    for number in range(len(batches)):
        batch = batches[number]
        rows = batch.request.numpy()
        vectors[rows], states[rows] = embed_batch(module, items, batch)
    return vectors, states
