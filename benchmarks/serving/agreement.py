"""Does a bundle answer as the pipeline ranked, request by request?

    PYTHONPATH=. python benchmarks/serving/agreement.py RUN_FOLDER [--requests 1000] [--out agreement.json]

The lists of `rank` (the order that ships) for requests of the test window, spread evenly over it, beside what the
runtime answers to the same user, moment and search terms out of the bundle: no torch, histories by hashed id. A list
agrees where its first ten are the same up to ties (scores within 1e-3 of each other).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from commerce.records import Requests, read_ranked
from serving.golden import SCORE, same_up_to_ties
from serving.requests import Request
from serving.runtime import Runtime

TOP = 10


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("run", type=Path)
    arguments.add_argument("--requests", type=int, default=1000)
    arguments.add_argument("--out", type=Path)
    told = arguments.parse_args()
    found = compare(told.run, told.requests)
    text = json.dumps(found, indent=1)
    print(text)
    if told.out:
        told.out.write_text(text)


def compare(run: Path, count: int) -> dict[str, object]:
    """Return how many lists agree, and by how much scores differ."""
    requests = Requests.read(run / "prepare" / "requests.parquet").of("test")
    users = pq.read_table(run / "ingest" / "users.parquet")["user_id"].to_pylist()
    queries = pq.read_table(run / "prepare" / "queries.parquet")["text"].to_pylist()
    items, scores = read_ranked(run / "rank" / "test.parquet", requests.request_id)
    runtime = Runtime(run / "bundle")
    rows = np.unique(np.linspace(0, len(requests) - 1, count).astype(np.int64))
    same, tied, overlap, differences, apart = 0, 0, [], [], []
    for row in rows:
        code = int(requests.query[row])
        query = queries[code] if code >= 0 else ""
        trace = runtime.trace(Request(users[requests.user[row]], query=query, time=int(requests.time[row])))
        one, other = items[row, :TOP].tolist(), trace.items[:TOP].tolist()
        same += one == other
        names = [[str(item) for item in side] for side in (one, other)]
        differences.append(float(np.abs(trace.scores[:TOP] - scores[row, :TOP]).max()))
        wrong = same_up_to_ties(names[0], scores[row, :TOP].tolist(), names[1], trace.scores[:TOP].tolist())
        tied += wrong is None
        overlap.append(len({*one} & {*other}) / TOP)
        if wrong is not None:
            apart.append(int(requests.request_id[row]))
    return {
        "requests": len(rows),
        "same ten in the same order": same,
        "the same up to ties": tied,
        "share of the ten in both": round(float(np.mean(overlap)), 5),
        f"scores within {SCORE:g}": int((np.array(differences) <= SCORE).sum()),
        "median difference of scores": float(f"{np.median(differences):.2g}"),
        "largest difference of scores": float(f"{max(differences):.2g}"),
        "apart": apart[:20],
    }


if __name__ == "__main__":
    main()
