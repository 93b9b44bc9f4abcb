"""What the source `lexical` costs beside bm25s called directly: same words, same scores, and what an answer also needs.

    PYTHONPATH=. python benchmarks/retrieval/lexical.py configs/demo.yaml [key=value ...] [--queries 500]

Needs a run that has been prepared. Requests are product texts cut to their first three words. bm25s alone gives its own
order and keeps no filter; the source leaves out what may not be shown and orders ties by item. Timed in turn, one
request at a time on one thread, medians of five rounds.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import bm25s
import numpy as np
import pyarrow.parquet as pq

from configs.load import load_config
from pipeline.run_folder import RunFolder
from retrieval.filters import Allowed
from retrieval.lexical import LexicalSource
from retrieval.sources import Ask
from retrieval.words import words

K, ROUNDS = 100, 5


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("config")
    arguments.add_argument("overrides", nargs="*")
    arguments.add_argument("--queries", type=int, default=500)
    told = arguments.parse_args()
    config = load_config(told.config, told.overrides)
    prepared = RunFolder(Path(config.run.folder)).stage("prepare")
    texts = pq.read_table(prepared / "item_texts.parquet").sort_by("item")["text"].to_pylist()
    drawn = np.random.default_rng(0).choice(len(texts), told.queries, replace=False)
    queries = [" ".join(words(texts[item])[:3]) for item in drawn]
    source = LexicalSource.build(texts)
    codes = {word: code for code, word in enumerate(sorted({word for text in texts for word in words(text)}))}
    direct = bm25s.BM25(method="lucene")
    direct.index([words(text) for text in texts], show_progress=False)
    allowed = Allowed.everything(len(texts), 1)
    asks = [Ask([None], np.zeros((1, 0), np.float32), np.zeros(1, np.int64), [query]) for query in queries]  # type: ignore[list-item]

    def ours() -> list[float]:
        return [float(source(ask, K, allowed)[1][0, 0]) for ask in asks]

    def theirs() -> list[float]:
        return [
            float(direct.retrieve([words(query)], k=min(K, len(texts)), show_progress=False).scores[0, 0])
            for query in queries
        ]

    best = np.array(ours()), np.array(theirs())
    taken: dict[str, list[float]] = {"ours": [], "bm25s": []}
    for _ in range(ROUNDS):
        for name, function in (("ours", ours), ("bm25s", theirs)):
            started = time.process_time()
            function()
            taken[name].append(1e3 * (time.process_time() - started) / len(queries))
    medians = {name: float(np.median(rounds)) for name, rounds in taken.items()}
    found = {
        "items": len(texts),
        "words": len(codes),
        "queries": len(queries),
        "ms": {name: round(value, 3) for name, value in medians.items()},
        "overhead": round(medians["ours"] / medians["bm25s"] - 1, 3),
        "largest_difference_of_best_scores": float(np.abs(best[0] - best[1]).max()),
        "bm25s": bm25s.__version__,
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
