"""Scores of candidate lists by a trained ranker."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from learning.encode import token_batches
from ranking.batches import Examples, pack
from ranking.module import Ranker


def scoring_device() -> str:
    """Return where lists are scored: the graphics processor where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def score_lists(
    ranker: Ranker, examples: Examples, *, tokens_per_batch: int, precision: str, label: str = ""
) -> NDArray[np.float32]:
    """Return the cross-encoder's score of every candidate, ``[requests, length]``, -inf past a list's end.

    Args:
        ranker: on the device that scores.
        examples: the requests.
        tokens_per_batch: padded tokens in a batch.
        precision: ``fp32`` or ``bf16`` (autocast).
        label: of the progress bar; none without.

    Raises:
        FloatingPointError: if a score is not a number: a list of such scores has no order.
    """
    scores = np.full(examples.items.shape, -np.inf, dtype=np.float32)
    batches = list(token_batches(examples.lengths.tolist(), tokens_per_batch)) if len(examples) else []
    device = ranker.device
    ranker.eval()
    with (
        torch.inference_mode(),
        torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"),
        tqdm(total=len(examples), desc=label, unit="list", disable=not label) as bar,
    ):
        for rows in batches:
            batch = pack(examples, np.array(rows), ranker.context_tokens)
            scores[rows] = ranker(type(batch)(*(part.to(device) for part in batch))).float().cpu().numpy()
            bar.update(len(rows))
    broken = int(np.isnan(scores).any(axis=1).sum())
    if broken:
        raise FloatingPointError(
            f"the cross-encoder gave no number for some candidate in {broken:,} of {len(scores):,} lists; train it "
            "again with a lower ranking.learning_rate or ranking.precision=fp32"
        )
    return scores
