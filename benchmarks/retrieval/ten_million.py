"""An index past memory: ten million items 64 wide, in shards on disk, built and searched.

    PYTHONPATH=. python benchmarks/retrieval/ten_million.py --items 10000000 --dim 64 --folder runs/ten-million

Vectors are drawn into a file (clustered, as in promise.py, seed 0) that a second call takes again. Told: seconds and
peak memory of building, bytes on disk, recall on queries that chose nothing, milliseconds a query with lists on disk
and in memory. Memory is resident memory, mapped pages included, and private memory, which the system cannot give up.
"""

from __future__ import annotations

import argparse
import json
import re
import threading
import time
from pathlib import Path

import faiss
import numpy as np
from promise import clustered, unit

from retrieval.sharded import ShardedIndex

BLOCK = 500_000
PER_CENTRE = 500
QUERIES = 500
K = 100


class Memory(threading.Thread):
    """Notes the largest resident and private memory of this process, in GB."""

    def __init__(self):
        super().__init__(daemon=True)
        self.resident = self.private = 0.0
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(0.2):
            told = dict(re.findall(r"(VmRSS|RssAnon):\s+(\d+)", Path("/proc/self/status").read_text()))
            self.resident = max(self.resident, int(told["VmRSS"]) / 1e6)
            self.private = max(self.private, int(told["RssAnon"]) / 1e6)

    def peak(self):
        self.over.set()
        return {"resident_gb": round(self.resident, 2), "private_gb": round(self.private, 2)}


def watched():
    memory = Memory()
    memory.start()
    return memory


def drawn(options):
    """Return the file of items, queries and fresh queries."""
    random = np.random.default_rng(options.seed)
    centres = unit(random.normal(size=(max(8, options.items // PER_CENTRE), options.dim)))
    queries, fresh = (clustered(QUERIES, options.dim, random, centres) for _ in range(2))
    file = options.folder / f"vectors-{options.items}x{options.dim}-{options.seed}.npy"
    if not file.is_file():
        temporary = file.with_suffix(".tmp")
        shape = (options.items, options.dim)
        items = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        for start in range(0, options.items, BLOCK):
            count = min(BLOCK, options.items - start)
            items[start : start + count] = clustered(count, options.dim, random, centres)
        items.flush()
        temporary.rename(file)
    return np.load(file, mmap_mode="r"), queries, fresh


def milliseconds(index, queries):
    """Return the median and 95th percentile of single queries, after a first pass."""
    for row in range(len(queries)):
        index.search(queries[row : row + 1], K)
    taken = []
    for row in range(len(queries)):
        started = time.perf_counter()
        index.search(queries[row : row + 1], K)
        taken.append(1e3 * (time.perf_counter() - started))
    return {"median_ms": round(float(np.median(taken)), 3), "p95_ms": round(float(np.percentile(taken, 95)), 3)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--shard-items", type=int, default=2_000_000)
    parser.add_argument("--families", nargs="+", default=["ivf-flat", "ivf-sq8", "ivf-pq"])
    parser.add_argument("--promise", type=float, default=0.95)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/ten-million"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    items, queries, fresh = drawn(options)
    memory, started, processor = watched(), time.perf_counter(), time.process_time()
    told = {"items": options.items, "dim": options.dim, "raw_gb": items.nbytes / 1e9, "faiss": faiss.__version__}
    index = ShardedIndex.build(
        options.folder / "index", np.arange(len(items)), items, queries, shard_items=options.shard_items, fresh=fresh,
        target_recall=options.promise, at_k=K, families=tuple(options.families), gpus=0,
    )  # fmt: skip
    told["build"] = {
        "seconds": round(time.perf_counter() - started),
        "processor_seconds": round(time.process_time() - processor),
        **memory.peak(),
    }
    told["structure"] = [shard.facts["promise"]["structure"] for shard in index.shards]
    told["reach"] = [shard.facts["promise"].get("reach") for shard in index.shards]
    told |= {"validation": index.facts["validation"], "fresh": index.facts["fresh"]}
    files = [path for path in (options.folder / "index").rglob("*") if path.is_file()]
    told["disk_gb"] = round(sum(path.stat().st_size for path in files) / 1e9, 2)
    told["lists_gb"] = round(sum(path.stat().st_size for path in files if path.suffix == ".faiss") / 1e9, 2)
    for name, mapped in (("on disk", True), ("in memory", False)):
        del index
        memory = watched()
        index = ShardedIndex.load(options.folder / "index", mapped=mapped)
        told[name] = {**milliseconds(index, fresh), **memory.peak()}
    started = time.perf_counter()
    faiss.knn(fresh[:8], items, K, metric=faiss.METRIC_INNER_PRODUCT)
    told["exact_ms"] = round(1e3 * (time.perf_counter() - started) / 8, 1)
    print(json.dumps(told, indent=1))
    (options.folder / "ten_million.json").write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
