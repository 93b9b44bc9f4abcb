"""Warm: the cross-encoder learns to read pairs from the untuned encoder, on queries made of product titles.

No query, grade or fold is looked at: product texts alone are, those of measured queries too, as a shop knows its
catalogue. So one warming serves every fold.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from commerce.pairs import Pairs
from commerce.pseudo_queries import pseudo_queries
from configs.errors import InputError
from learning.encoder_folder import open_encoder
from learning.graded_losses import distillation_loss
from learning.graded_training import GradedPairs, train_graded
from learning.language_model import load_text_encoder
from pipeline.encoders import write_tuned
from pipeline.relevance.answers import Products, folder_answers
from pipeline.relevance.cross import HEAD_FILE, pair_tokenizer
from pipeline.relevance.parts import CURVE, ENCODER, pace_of
from pipeline.stage import Outcome, Work
from ranking.distilled import DistilledCrossEncoder

_NEAR, _NEAR_DRAWN, _FAR_DRAWN = 60, 4, 3
"""Of the products nearest to a query some are drawn, and some of all: what is alike, and what is not."""
_QUANTILES = (0.05, 0.95)
"""Of the teacher's scores: what counts as 0 and as 1."""
_HELD_OUT = 0.05
_BLOCK = 256


def warm(work: Work) -> Outcome:
    """Write the warmed language model and its head, where the folds' cross-encoders start from.

    Raises:
        InputError: if fewer than two titles have a word, or the encoder cannot be a cross-encoder.
    """
    config, settings = work.config, work.config.relevance
    graded = Pairs.read(work.run.stage("pairs") / "pairs.parquet")
    products = Products.of(graded)
    own, queries = pseudo_queries(products.short, settings.pseudo_queries, config.run.seed)
    if len(queries) < 2:
        raise InputError(
            f"of {len(products.short):,} product titles {len(queries)} can be made a query of, which takes a letter or "
            "digit; two are needed at least, or set relevance.pseudo_queries=0"
        )
    folder = open_encoder(config.text)
    asked, known = folder_answers(products, queries, config.text, settings)
    query, product = draw_lists(asked, known, own, config.run.seed)
    taught = np.einsum("ij,ij->i", asked[query], known[product]).astype(np.float32)
    lowest, highest = np.quantile(taught, _QUANTILES).tolist()
    torch.manual_seed(config.run.seed)  # of the head
    try:
        cross = DistilledCrossEncoder(
            load_text_encoder(folder),
            pair_tokenizer(folder, settings),
            query,
            queries,
            [products.whole[place] for place in product],
            (lowest, highest),
        )
    except ValueError as error:
        raise InputError(f"{folder.path}: {error}; or set relevance.cross_encoder=false") from error
    held = query >= len(queries) - max(1, round(_HELD_OUT * len(queries)))
    rows = np.flatnonzero(held)
    data = GradedPairs(query, taught, np.ones_like(taught), np.flatnonzero(~held), rows)

    def judge(scores: NDArray[np.float32]) -> float:
        of = torch.from_numpy(query[rows].astype(np.int64))
        apart = distillation_loss(torch.from_numpy(scores), torch.from_numpy(taught[rows]), of, cross.temperature)
        return -float(apart)

    before = judge(cross.score(rows, settings.precision))
    pace = replace(pace_of(settings, config.run.seed, cross=True), epochs=1)
    curve = train_graded(cross, data, judge, pace, work.scratch())
    write_tuned(cross.encoder, folder, work.out / ENCODER)
    torch.save(cross.head.state_dict(), work.out / HEAD_FILE)
    (work.out / CURVE).write_text(json.dumps(curve, indent=1))
    after = max(row["validation"] for row in curve)
    return Outcome(
        [
            f"warm: {len(query):,} pairs of {len(queries):,} queries made of titles; divergence from the untuned "
            f"encoder's order on {len(np.unique(query[rows])):,} held out {-before:.3f} -> {-after:.3f} nats"
        ]
    )


def draw_lists(
    asked: NDArray[np.floating], known: NDArray[np.floating], own: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return pairs ``(query, product)`` by query: its own product, some of the nearest, some of all; none twice."""
    random = np.random.default_rng([seed, 29])
    near = min(_NEAR, len(known))
    lists = []
    for start in range(0, len(asked), _BLOCK):
        scores = asked[start : start + _BLOCK] @ known.T
        nearest = np.argpartition(-scores, near - 1, axis=1)[:, :near]
        for row, pool in enumerate(nearest):
            drawn = random.permutation(pool)[:_NEAR_DRAWN], random.integers(0, len(known), _FAR_DRAWN)
            lists.append(np.unique(np.concatenate([own[start + row : start + row + 1], *drawn])))
    query = np.repeat(np.arange(len(lists), dtype=np.int32), [len(one) for one in lists])
    return query, np.concatenate(lists)
