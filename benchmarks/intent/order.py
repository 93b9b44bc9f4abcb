"""What knowing the intent is worth to the order: the reranker with and without it, and the bazaar's oracle likewise.

    python benchmarks/intent/order.py configs/bazaar.yaml bazaar.intent_tastes=2 run.folder=runs/order [key=value ...]

Runs all stages up to ``rank``, and the reranker once more without ``intent`` among ``ranking.reads`` (in a folder
below, everything before it taken over). Differences in NDCG@10 on the test window are paired over users, overall and
by the intent that the session then showed. The oracle without intents holds the same reasons likely and gives every
request the shop's common shares of intents.

Two shares of what the oracle gains by telling intents: ``covered``, how far mercato is from the oracle without them to
the one with them; ``by the reranker alone``, what it loses when the reranker is kept from them, though towers and
numbers still tell them.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from commerce.columns import INTENTS
from commerce.intervals import bootstrap, paired
from commerce.metrics import Relevant, find, ndcg
from commerce.records import Requests, read_ranked
from configs.reads import RANKER_READS
from learning.hardware import machine
from pipeline.api import Run
from pipeline.asking import Shop
from pipeline.baselines import open_oracle
from pipeline.run_folder import RunFolder
from pipeline.stage import NAMES
from pipeline.takeover import take_over
from ranking.lists import read_lists

_STAGES = NAMES[: NAMES.index("rank") + 1]
_CUT, _RESAMPLES, _CONFIDENCE = 10, 1000, 0.95
_PAIRS = (
    ("oracle", "oracle without intents"),
    ("mercato", "oracle without intents"),
    ("mercato", "mercato without intents"),
    ("mercato", "blended"),
)

_SHARES = ("covered", "by the reranker alone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*")
    told = parser.parse_args()
    whole = Run(told.config, *told.overrides)
    whole.run(*_STAGES)
    reads = ",".join(word for word in RANKER_READS if word != "intent")
    folder = whole.folder / "without-intent"
    less = Run(told.config, *told.overrides, f"run.folder={folder}", f"ranking.reads=[{reads}]")
    folder.mkdir(exist_ok=True)
    take_over(less.config, RunFolder(folder), RunFolder(whole.folder))
    less.run(*_STAGES)
    requests, values = _values(whole, less)
    rows = [_row(part, kept, requests, values, whole.config.run.seed) for part, kept in _parts(requests).items()]
    result = {
        "config": told.config,
        "overrides": told.overrides,
        "ndcg@10": rows,
        "gate": {name: _gate(run) for name, run in (("with", whole), ("without", less))},
        "hardware": machine(),
        "versions": {name: version(name) for name in ("mercato", "torch", "transformers", "numpy")},
    }
    (whole.folder / "intent-order.json").write_text(json.dumps(result, indent=1))
    for name, reason in result["gate"].items():
        print(f"{name} intents: {reason}")
    _say(rows)


def _gate(run: Run) -> str:
    reason: str = json.loads((run.folder / "train-ranker" / "gate.json").read_text())["reason"]
    return reason


def _values(whole: Run, less: Run) -> tuple[Requests, dict[str, NDArray[np.float64]]]:
    """Return the test requests and NDCG@10 of every system in each."""
    config, run = whole.config, RunFolder(whole.folder)
    prepared = run.stage("prepare")
    shop = Shop.open(prepared, config.evaluate.targets or config.prepare.targets)
    requests = Requests.read(prepared / "requests.parquet").of("test")
    relevant = Relevant(requests.offsets, requests.items, requests.gains)
    lists = {
        "mercato": read_ranked(whole.folder / "rank" / "test.parquet", requests.request_id)[0],
        "mercato without intents": read_ranked(less.folder / "rank" / "test.parquet", requests.request_id)[0],
        "blended": _blended(run, requests),
    }
    for name, tells in (("oracle", True), ("oracle without intents", False)):
        oracle = open_oracle(run, config, shop.queries, tells_intents=tells)
        lists[name] = oracle.rank(shop.histories, requests, _CUT)[0]
    return requests, {name: ndcg(find(listed, relevant), _CUT) for name, listed in lists.items()}


def _blended(run: RunFolder, requests: Requests) -> NDArray[np.int32]:
    return read_lists(run.stage("retrieve") / "test.parquet", requests.request_id, (), _CUT).items


def _parts(requests: Requests) -> dict[str, NDArray[np.bool_]]:
    """Return which requests count overall, and under each intent."""
    return {"all": np.ones(len(requests), dtype=bool)} | {
        name: np.asarray(requests.intent == code) for code, name in enumerate(INTENTS)
    }


def _row(
    part: str, kept: NDArray[np.bool_], requests: Requests, values: dict[str, NDArray[np.float64]], seed: int
) -> dict[str, object]:
    users, options = requests.user[kept], {"resamples": _RESAMPLES, "confidence": _CONFIDENCE, "seed": seed}
    row: dict[str, object] = {"requests": part, "count": int(kept.sum())}
    row |= {name: bootstrap(value[kept], users, **options).as_dict() for name, value in values.items()}  # type: ignore[arg-type]
    gained = {
        f"{one} - {other}": paired(values[one][kept], values[other][kept], users, **options)  # type: ignore[arg-type]
        for one, other in _PAIRS
    }
    row |= {name: interval.as_dict() for name, interval in gained.items()}
    oracle, covered, alone = (gained[f"{one} - {other}"].value for one, other in _PAIRS[:3])
    for share, ours in zip(_SHARES, (covered, alone), strict=True):
        row[share] = ours / oracle if oracle > 0 else None
    return row


def _say(rows: list[dict[str, object]]) -> None:
    names = [name for name, value in rows[0].items() if isinstance(value, dict)]
    print(f"| requests | | {' | '.join([*names, *_SHARES])} |")
    print("|---|" + "---|" * (len(names) + len(_SHARES) + 1))
    for row in rows:
        cells = []
        for name in names:
            one = row[name]
            assert isinstance(one, dict)
            told = f"{one['value']:.4f}"
            if " - " in name:
                told = f"{one['value']:+.4f} ({one['low']:+.4f} to {one['high']:+.4f})"
            cells.append(told)
        for name in _SHARES:
            share = row[name]
            cells.append(f"{share:.0%}" if isinstance(share, float) else "nothing to gain")
        print(f"| {row['requests']} | {row['count']:,} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
