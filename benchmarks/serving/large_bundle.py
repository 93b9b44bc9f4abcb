"""A bundle of a large catalogue through the real stages: only the item texts' vectors and the reranker are not learnt.

    PYTHONPATH=. python benchmarks/serving/large_bundle.py --items 100000 --folder runs/large

Items get titles of drawn words, users draw events, and `ingest`, `prepare`, `train-towers` (one epoch), `embed`,
`index`, `retrieve`, `rank`, `evaluate` and `export` run as for a shop. Encoding 100,000 titles takes a processor ten
minutes and serving never does it, so the text cache is filled with drawn vectors, close together within a category,
before the towers are trained. The reranker is the encoder's lowest layers as they come: it costs what a trained one
costs.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import lightning as L
import numpy as np
import pyarrow.parquet as pq

from learning.encode import open_cache, text_dim
from pipeline.api import Run
from pipeline.encoders import prepared_encoder
from pipeline.ranking_inputs import RankingInputs, encoder_path
from pipeline.run_folder import RunFolder
from ranking.cross_encoder import lowest_layers
from ranking.module import Ranker

SHOP = """
run: {{seed: {seed}, threads: 1}}
data:
  reader: tables
  folder: {tables}
  events: events.csv
  items: items.csv
  time_unit: s
  item_text: [title]
  item_category: category
  item_categorical: [category, brand]
  item_numeric: [price]
prepare: {{requests: rolling, ranker_days: 5, validation_days: 5, test_days: 5}}
text: {{cache: {folder}/text, refuse_share: 1.0}}
towers: {{dim: 128, max_epochs: 1}}
ranking: {{layers: 3, depth: 20}}
evaluate: {{max_requests: 500, baselines: [popularity], source_requests: 0}}
tracking: {{uri: "sqlite:///{folder}/mlflow.db"}}
"""
DAYS, DAY = 40, 86_400
KINDS, BRANDS = 300, 400
SYLLABLES = (
    "ka", "lo", "mi", "ren", "sta", "vo", "ter", "qui", "bel", "na", "dor", "fi", "gra", "hu", "ley", "mor", "ost",
    "pra", "ri", "sul", "tan", "ur", "wen", "yol", "zed",
)  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--items", type=int, default=100_000)
    arguments.add_argument("--users", type=int, default=1500)
    arguments.add_argument("--folder", type=Path, default=Path("runs/large"))
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("overrides", nargs="*")
    told = arguments.parse_args()
    folder = told.folder.resolve()
    tables = folder / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(told.seed)
    kinds = write_items(tables / "items.csv", told.items, random)
    write_events(tables / "events.csv", told.users, kinds, random)
    (folder / "shop.yaml").write_text(SHOP.format(seed=told.seed, tables=tables, folder=folder))
    run = Run(str(folder / "shop.yaml"), f"run.folder={folder / 'run'}", *told.overrides)
    run.run("ingest", "prepare", "adapt")
    fill_text_cache(run, random)
    run.run("train-towers", "embed", "index", "retrieve")
    ship_reranker(run, told.seed)
    run.run("rank", "evaluate", "export")


def write_items(path: Path, count: int, random: np.random.Generator) -> np.ndarray:
    """Write the items table; return each item's kind, its category."""
    words = np.array([first + second for first in SYLLABLES for second in SYLLABLES])
    kinds = random.integers(0, KINDS, count)
    title = random.integers(0, len(words), (count, 5))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "title", "category", "brand", "price"])
        for item in range(count):
            text = " ".join([*words[title[item]], words[kinds[item]], str(item)])
            brand = f"brand {random.integers(BRANDS)}"
            writer.writerow([f"p{item}", text, f"kind {kinds[item]}", brand, round(float(random.lognormal(3)), 2)])
    return kinds


def write_events(path: Path, users: int, kinds: np.ndarray, random: np.random.Generator) -> None:
    """Write the events table: users look at items of a few kinds, and search by a word now and then."""
    by_kind = [np.flatnonzero(kinds == kind) for kind in range(KINDS)]
    words = [first + second for first in SYLLABLES for second in SYLLABLES]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "timestamp", "action", "item_id", "query"])
        for user in range(users):
            liked = random.integers(0, KINDS, 3)
            for moment in np.sort(random.integers(0, DAYS * DAY, 40)):
                kind = int(random.choice(liked))
                time = 1_767_225_600 + int(moment)
                if random.random() < 0.2:
                    writer.writerow([f"u{user}", time, "search", "", f"{words[kind]} {random.choice(words)}"])
                else:
                    action = random.choice(["view", "cart", "purchase"], p=[0.6, 0.2, 0.2])
                    writer.writerow([f"u{user}", time, action, f"p{random.choice(by_kind[kind])}", ""])


def fill_text_cache(run: Run, random: np.random.Generator) -> None:
    """Give every item text a vector near that of its category."""
    root, text = RunFolder(run.folder), run.config.text
    encoder = prepared_encoder(root, text)
    texts = pq.read_table(root.stage("prepare") / "item_texts.parquet").sort_by("item")["text"].to_pylist()
    kinds = pq.read_table(root.stage("ingest") / "items.parquet", columns=["category"])["category"].to_pylist()
    cache = open_cache(encoder, text)
    dim = text_dim(encoder)
    centres = {kind: random.normal(size=dim) for kind in sorted(set(kinds))}
    vectors = np.stack([centres[kind] for kind in kinds]) + 0.7 * random.normal(size=(len(texts), dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    distinct = {encoder.item_prefix + text: row for row, text in enumerate(texts)}
    if cache.missing(list(distinct)):
        cache.add(list(distinct), vectors[list(distinct.values())].astype(np.float32))


def ship_reranker(run: Run, seed: int) -> None:
    """Write what `train-ranker` would: the encoder's lowest layers, and a gate that lets them ship."""
    root, config = RunFolder(run.folder), run.config
    inputs, ranking = RankingInputs.open(root, config), config.ranking
    tokens = ranking.context_tokens + ranking.item_tokens
    weights = lowest_layers(str(encoder_path(root, config)), ranking.layers, tokens)
    L.seed_everything(seed, verbose=False)
    limits = {"context_tokens": ranking.context_tokens, "item_tokens": ranking.item_tokens}
    ranker = Ranker(
        encoder=weights.config.to_dict(),
        features=inputs.features,
        sources=inputs.sources,
        width=ranking.width,
        dropout=ranking.dropout,
        learning_rate=ranking.learning_rate,
        head_learning_rate=ranking.head_learning_rate,
        weight_decay=ranking.weight_decay,
        steps=1,
        weights=weights,
        **limits,
    )
    folder = run.folder / "train-ranker"
    folder.mkdir(exist_ok=True)
    trainer = L.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(ranker)
    trainer.save_checkpoint(folder / "ranker.ckpt", weights_only=True)
    told = {"shipped": True, "weight": 0.5, "new_items": None, "depth": ranking.depth, **limits}
    told |= {"reason": "not trained: it ships for its cost alone", "requests": 0, "users": 0, "paired": None}
    names = {"features": list(inputs.features), "sources": list(inputs.sources), "reads": sorted(inputs.reads)}
    (folder / "gate.json").write_text(json.dumps(told | names))
    (folder / "manifest.json").write_text("{}")


if __name__ == "__main__":
    main()
