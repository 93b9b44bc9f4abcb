"""Sentences a second of three ways to batch texts for an encoder.

    python benchmarks/encoding/compare.py runs/demo/prepare/item_texts.parquet [--texts 2000] [--threads 2]

``padded``: in the order they come, each batch padded to its longest text, which is what most code does;
``sorted``: Mercato's batches, sorted by length with a budget of tokens; ``bf16``: the same under autocast.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import pyarrow.parquet as pq
import torch

from configs.schema import TextConfig
from learning.encode import encode, pad
from learning.encoder_folder import open_encoder
from learning.language_model import load_text_encoder
from learning.tokens import load_tokenizer, token_ids

_BATCH = 64


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("texts_file", help="Parquet file with a column text")
    arguments.add_argument("--texts", type=int, default=2000)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--encoder", default=TextConfig().encoder)
    told = arguments.parse_args()
    torch.set_num_threads(told.threads)

    distinct = sorted(set(pq.read_table(told.texts_file, columns=["text"])["text"].to_pylist()) - {""})
    texts = [str(text) for text in np.random.default_rng(0).permutation(distinct)[: told.texts]]
    settings = TextConfig(encoder=told.encoder)
    folder = open_encoder(settings)
    encoder, tokenizer = load_text_encoder(folder), load_tokenizer(folder.path, folder.max_tokens)

    def padded() -> np.ndarray:
        rows = token_ids(tokenizer, texts)
        with torch.no_grad():
            parts = [encoder(*pad(rows[start : start + _BATCH])).numpy() for start in range(0, len(rows), _BATCH)]
        return np.concatenate(parts)

    def in_budget(precision: str) -> np.ndarray:
        return encode(encoder, tokenizer, texts, tokens_per_batch=settings.tokens_per_batch, precision=precision)

    lengths = [len(row) for row in token_ids(tokenizer, texts)]
    print(f"{len(texts):,} distinct texts, {np.mean(lengths):.1f} tokens on average, at most {max(lengths)}")
    ways: dict[str, Callable[[], np.ndarray]] = {
        "padded": padded,
        "sorted": lambda: in_budget("fp32"),
        "bf16": lambda: in_budget("bf16"),
    }
    encode(encoder, tokenizer, texts[:64], tokens_per_batch=1024)  # the first call of all sets things up
    base, exact = 0.0, np.zeros(0)
    for name, way in ways.items():
        started, processor = time.perf_counter(), time.process_time()
        vectors = way()
        wall, cpu = time.perf_counter() - started, time.process_time() - processor
        base, exact = (len(texts) / cpu, vectors) if name == "padded" else (base, exact)
        cosine = (vectors * exact).sum(axis=1).min()
        print(
            f"{name:8} {len(texts) / wall:7.0f} texts/s, {len(texts) / cpu:7.0f} per processor second "
            f"({len(texts) / cpu / base:.2f}x), lowest cosine to padded {cosine:.5f}"
        )


if __name__ == "__main__":
    main()
