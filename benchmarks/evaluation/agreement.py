"""Values of ranx and ir_measures on random judgements, kept for tests/commerce/test_peers.py.

    python benchmarks/evaluation/agreement.py tests/commerce/peers.json

Graded labels, lists of many lengths, no tied scores, some requests without a list. Every peer's mean over all judged
requests, a request without a list counting 0.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import ir_measures
import numpy as np
from ir_measures import AP, RR, P, R, Rprec, Success, nDCG
from ranx import Qrels, Run, evaluate

AT = (1, 5, 10, 30)
REQUESTS, ITEMS, SEED = 60, 120, 0

RANX = {
    "recall": "recall",
    "precision": "precision",
    "hit_rate": "hit_rate",
    "mrr": "mrr",
    "map": "map",
    "ndcg": "ndcg",
}
IR_MEASURES = {"recall": R, "precision": P, "hit_rate": Success, "mrr": RR, "map": AP, "ndcg": nDCG}


def main(path: Path) -> None:
    """Draw judgements and lists, ask the peers, write everything."""
    random = np.random.default_rng(SEED)
    judged, ranked = {}, {}
    for request in range(REQUESTS):
        chosen = random.permutation(ITEMS)[: random.integers(1, 16)]
        judged[f"r{request}"] = {f"i{item}": int(random.integers(1, 4)) for item in chosen}
        if request % 9 != 4:
            # Half of the list from what was chosen, so that there is something to find.
            pool = np.concatenate([chosen, random.permutation(ITEMS)])
            found = random.permutation(np.unique(pool[: random.integers(1, 41)]))
            ranked[f"r{request}"] = {f"i{item}": 1.0 - place / 100 for place, item in enumerate(found)}
    binary = {request: dict.fromkeys(items, 1) for request, items in judged.items()}
    peers = {
        f"ranx {version('ranx')}": of_ranx(judged, ranked) | {"binary_ndcg": of_ranx(binary, ranked)["ndcg"]},
        f"ir_measures {version('ir_measures')}": of_ir_measures(judged, ranked)
        | {"binary_ndcg": of_ir_measures(binary, ranked)["ndcg"]},
    }
    path.write_text(json.dumps({"judged": judged, "ranked": ranked, "peers": peers}, indent=None) + "\n")


def of_ranx(judged: dict[str, dict[str, int]], ranked: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return ranx' values: measure -> cut-off -> mean."""
    names = [f"{name}@{k}" for name in RANX.values() for k in AT] + ["r-precision"]
    found = evaluate(Qrels(judged), Run(ranked), names, make_comparable=True)
    values = {ours: {str(k): float(found[f"{theirs}@{k}"]) for k in AT} for ours, theirs in RANX.items()}
    return {**values, "r_precision": {"": float(found["r-precision"])}}


def of_ir_measures(
    judged: dict[str, dict[str, int]], ranked: dict[str, dict[str, float]]
) -> dict[str, dict[str, float]]:
    """Return the values of ir_measures (trec_eval's): measure -> cut-off -> mean."""
    measures = {(name, k): kind @ k for name, kind in IR_MEASURES.items() for k in AT}
    found = ir_measures.calc_aggregate([*measures.values(), Rprec], judged, ranked)
    values: dict[str, dict[str, float]] = {}
    for (name, k), measure in measures.items():
        values.setdefault(name, {})[str(k)] = float(found[measure])
    return {**values, "r_precision": {"": float(found[Rprec])}}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
