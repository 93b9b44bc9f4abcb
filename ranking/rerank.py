"""Scores of candidate lists by a trained ranker; with ``context_once``, every item and every context is read once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from learning.encode import token_batches
from learning.hardware import autocast
from ranking.batches import Examples, lay
from ranking.cross_encoder import CrossEncoder, ReadItems
from ranking.full_attention import FullCrossEncoder
from ranking.module import Ranker

_ITEMS_TOGETHER = 50_000
"""Distinct items kept in memory, about 4.6 kB each; lists with more between them are scored in several blocks."""


def score_lists(
    ranker: Ranker, examples: Examples, *, tokens_per_batch: int, precision: str, label: str = ""
) -> NDArray[np.float32]:
    """Return the cross-encoder's score of every candidate, ``[requests, length]``, -inf past a list's end.

    Args:
        ranker: on the device that scores.
        examples: the requests.
        tokens_per_batch: padded tokens in a batch.
        precision: ``auto``, ``fp32`` or ``bf16`` (autocast).
        label: of the progress bar; none without.

    Raises:
        FloatingPointError: if a score is not a number: a list of such scores has no order.
    """
    ranker.eval()
    with (
        torch.inference_mode(),
        autocast(precision, ranker.device.type),
        tqdm(total=int((examples.items >= 0).sum()), desc=label, unit="candidate", disable=not label) as bar,
    ):
        model = ranker.cross_encoder
        if isinstance(model, FullCrossEncoder):
            scores = model.score_examples(examples, tokens_per_batch=tokens_per_batch, done=bar.update)
        else:
            scores = _score_once(model, examples, tokens_per_batch, bar)
    scores[examples.items < 0] = -np.inf
    broken = int(np.isnan(scores).any(axis=1).sum())
    if broken:
        raise FloatingPointError(
            f"the cross-encoder gave no number for some candidate in {broken:,} of {len(scores):,} lists; train it "
            "again with a lower ranking.learning_rate or ranking.precision=fp32"
        )
    return scores


@torch.inference_mode()
def score_numbers(ranker: Ranker, examples: Examples) -> NDArray[np.float32]:
    """Return what the scores would be without any text, ``[requests, length]``: what the texts add is the rest."""
    ranker.eval()
    features, intent = (torch.from_numpy(part).to(ranker.device) for part in (examples.features, examples.intent))
    scores = ranker.cross_encoder.heads(None, features, intent[:, None]).cpu().numpy()
    return np.where(examples.items >= 0, scores, -np.inf).astype(np.float32)


def _score_once(model: CrossEncoder, examples: Examples, tokens_per_batch: int, bar: tqdm[None]) -> NDArray[np.float32]:
    """Return the scores of lists whose texts are each read once, ``[requests, length]``."""
    scores = np.zeros(examples.items.shape, dtype=np.float32)
    for block in _blocks(examples.items, np.arange(len(examples))):
        _score_block(model, examples, block, scores, tokens_per_batch, bar)
    return scores


def _blocks(items: NDArray[np.int32], rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Halve the requests until those of a block have few enough distinct items between them."""
    if len(rows) > 1 and len(np.unique(items[rows])) > _ITEMS_TOGETHER:
        for half in np.array_split(rows, 2):
            yield from _blocks(items, half)
    elif len(rows):
        yield rows


def _score_block(
    model: CrossEncoder,
    examples: Examples,
    block: NDArray[np.int64],
    scores: NDArray[np.float32],
    tokens_per_batch: int,
    bar: tqdm[None],
) -> None:
    """Fill in the scores of the requests of a block."""
    distinct = np.unique(examples.items[block])
    distinct = distinct[distinct >= 0]
    if not len(distinct):
        return
    read = _read_items(model, examples, distinct, tokens_per_batch)
    device, width = next(model.parameters()).device, examples.items.shape[1]
    # A candidate costs one token beside the context's.
    costs = (examples.contexts.lengths[block] + width).tolist()
    for batch in token_batches(costs, tokens_per_batch):
        rows = block[np.array(batch)]
        ids, mask = lay(examples.contexts, rows)
        places = np.minimum(np.searchsorted(distinct, examples.items[rows]), len(distinct) - 1)
        at = torch.from_numpy(places).to(device)
        features, intent = (torch.from_numpy(part[rows]).to(device) for part in (examples.features, examples.intent))
        contexts = model.read_contexts(ids.to(device), mask.to(device))
        items = ReadItems(*(part[at] for part in read))
        scores[rows] = model.score(contexts, items, features, intent).float().cpu().numpy()
        bar.update(int((examples.items[rows] >= 0).sum()))


def _read_items(
    model: CrossEncoder, examples: Examples, distinct: NDArray[np.int32], tokens_per_batch: int
) -> ReadItems:
    """Read each distinct item once, in batches of nearly equal length."""
    device = next(model.parameters()).device
    lengths = examples.item_tokens.lengths[distinct].tolist()
    parts, order = [], []
    for batch in token_batches(lengths, tokens_per_batch):
        ids, mask = lay(examples.item_tokens, distinct[np.array(batch)])
        parts.append(model.read_items(ids.to(device), mask.to(device)))
        order.extend(batch)
    back = torch.from_numpy(np.argsort(order)).to(device)
    return ReadItems(*(torch.cat(pieces)[back] for pieces in zip(*parts, strict=True)))
