"""Baselines: what words, and the encoder as it is, say of each pair."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.pairs import Pairs
from commerce.splits import drawn_by_hash
from learning.encode import folder_vectors
from learning.encoder_fit import check_fit
from learning.encoder_folder import open_encoder
from pipeline.stage import Outcome, Work
from retrieval.word_match import WORD_FEATURES, word_features

ZERO_SHOT, RANDOM = "zero_shot", "random"


def baselines(work: Work) -> Outcome:
    """Write ``scores.parquet``: a column for each baseline, a row for each pair.

    Raises:
        EncoderError: if the encoder is not there, or knows too little of these texts.
    """
    config, pairs = work.config, Pairs.read(work.run.stage("pairs") / "pairs.parquet")
    fit = check_fit({"queries": pairs.queries, "products": pairs.tower_text}, config.text)
    found = word_features(pairs.query, pairs.queries, pairs.tower_text)
    columns: dict[str, NDArray[np.floating]] = {name: found[:, place] for place, name in enumerate(WORD_FEATURES)}
    text = replace(config.text, max_tokens=config.relevance.tower_tokens)
    folder = open_encoder(text)
    queries = folder_vectors(pairs.queries, folder, text, kind="query", progress=False)
    products = folder_vectors(pairs.tower_text, folder, text, kind="item", progress=False)
    columns[ZERO_SHOT] = (queries[pairs.query] * products).sum(axis=1)
    columns[RANDOM] = drawn_by_hash([str(row) for row in range(len(pairs))], config.run.seed, "random order")
    pq.write_table(
        pa.table({name: np.asarray(values, np.float32) for name, values in columns.items()}),
        work.out / "scores.parquet",
    )
    return Outcome([*fit.lines, f"baselines of {len(pairs):,} pairs: {', '.join(columns)}"])
