"""Items that nobody has ever bought: does the item tower place them by their text alone?

    python benchmarks/towers/cold_items.py configs/amazon_beauty.yaml [key=value ...] [--share .1] [--seed 0]

A share of the items, by seed, is held out of all training: their events are dropped everywhere but where one is a
user's last, and the items become available only for the test requests, so that they are no negatives either. Each is
then ranked against the whole catalogue, items already had filtered, for the users whose last event it is. Beside the
towers stand chance and the text encoder without any training: nearest neighbours of the history's mean text vector, and
of the last item's.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.differences import find_differences
from commerce.histories import Histories
from commerce.metrics import RANKED, Relevant, find
from commerce.records import Requests
from configs.load import load_config
from learning.encode import folder_vectors
from pipeline.api import Run
from pipeline.asking import Shop
from pipeline.encoders import prepared_encoder
from pipeline.run_folder import RunFolder
from pipeline.systems import Terms, rank_vectors

_DAY = 86_400
_LATER = 2000
"""Days after which every test event lies, and the held-out items are to be had."""
_AT = 50


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("config", help="of a data set with the reader `sequences`")
    arguments.add_argument("overrides", nargs="*")
    arguments.add_argument("--share", type=float, default=0.1)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--folder", type=Path, default=Path("runs/cold-items"))
    told = arguments.parse_args()
    original = load_config(told.config, told.overrides)
    tables = told.folder / "tables"
    held, items = write_tables(Path(original.data.folder), tables, told.share, told.seed)
    run = Run(
        told.config,
        *told.overrides,
        *("data.reader=tables", f"data.folder={tables}", "data.events=events.csv", "data.items=items.csv"),
        *("data.time_unit=s", f"run.folder={told.folder / 'run'}", f"run.seed={told.seed}"),
    )
    run.run("ingest", "prepare", "adapt", "train-towers", "embed")
    measure(run, held, items, told.seed)


def write_tables(source: Path, target: Path, share: float, seed: int) -> tuple[set[str], int]:
    """Write the tables without the held-out items' events; return these items and how many there are in all."""
    target.mkdir(parents=True, exist_ok=True)
    with (source / "items.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    ids = sorted(row["item_id"] for row in rows)
    held = set(np.random.default_rng(seed).choice(ids, round(share * len(ids)), replace=False).tolist())
    with (target / "items.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0], "available_from"])
        writer.writeheader()
        for row in rows:
            writer.writerow(row | {"available_from": (_LATER - 1) * _DAY if row["item_id"] in held else ""})
    with (target / "events.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "timestamp", "action", "item_id"])
        for line in (source / "sequences.txt").read_text().splitlines():
            user, *bought = line.split()
            for place, item in enumerate(bought):
                last = place == len(bought) - 1
                if last or item not in held:
                    writer.writerow([user, (place + _LATER * last) * _DAY, "purchase", item])
    return held, len(ids)


def measure(run: Run, held: set[str], items: int, seed: int) -> None:
    """Print recall and NDCG of the held-out items, by system, and the paired differences."""
    root = RunFolder(run.folder)
    prepared, embedded = root.stage("prepare"), root.stage("embed")
    histories = Histories.open(prepared / "histories")
    whole = Requests.read(prepared / "requests.parquet").of("test")
    codes = pq.read_table(root.stage("ingest") / "item_ids.parquet").sort_by("code")["id"].to_pylist()
    cold = np.isin(np.array(codes), sorted(held))
    kept = cold[whole.items[whole.offsets[:-1]]]
    requests = whole.where(kept)
    shop = Shop.open(prepared, run.config.prepare.targets)
    terms = Terms(requests, histories, shop.available_from, shop.available_until, ("purchase",), _AT)
    texts = folder_vectors(
        pq.read_table(prepared / "item_texts.parquet").sort_by("item")["text"].to_pylist(),
        prepared_encoder(root, run.config.text),
        run.config.text,
        kind="item",
    )
    texts = _unit(texts)
    means, lasts = (np.zeros((len(requests), texts.shape[1]), dtype=np.float32) for _ in range(2))
    for row in range(len(requests)):
        had = histories.events(int(requests.user[row]), int(requests.history_end[row])).item
        means[row], lasts[row] = texts[had].mean(axis=0), texts[had[-1]]
    lists = {
        "towers": rank_vectors(
            terms, np.load(embedded / "item_vectors.npy"), np.load(embedded / "users_test.npy")[kept]
        )[0],
        "text, mean of the history": rank_vectors(terms, texts, _unit(means))[0],
        "text, last item": rank_vectors(terms, texts, lasts)[0],
    }
    relevant = Relevant(requests.offsets, requests.items, requests.gains)
    found = {name: find(listed, relevant) for name, listed in lists.items()}
    chance = _AT / items
    print(f"{len(requests):,} requests for {cold.sum():,} held-out items among {items:,}; seed {seed}")
    print(f"{'chance':<28} recall@{_AT} {chance:.4f}")
    for name, one in found.items():
        recall, ndcg = (float(RANKED[measure](one, k).mean()) for measure, k in (("recall", _AT), ("ndcg", 10)))
        print(f"{name:<28} recall@{_AT} {recall:.4f} ({recall / chance:.0f} times chance), ndcg@10 {ndcg:.4f}")
    for name in list(found)[1:]:
        for one in find_differences(
            found[name], found["towers"], requests.user, [("recall", _AT), ("ndcg", 10)], [],
            resamples=1000, draws=10_000, confidence=0.95, seed=seed,
        ):  # fmt: skip
            interval = one.interval
            print(
                f"towers - {name}: {one.metric} {interval.value:+.4f} ({interval.low:+.4f} to {interval.high:+.4f}), "
                f"p {one.p_value:.4f}"
            )
    print(json.dumps({"versions": _versions()}))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(lengths, 1e-12)
    return unit


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("mercato", "torch", "lightning", "transformers", "numpy")}


if __name__ == "__main__":
    main()
