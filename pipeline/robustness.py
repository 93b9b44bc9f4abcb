"""``mercato robustness``: what typos, another order of words and look-alike scripts do to the shipped order.

The candidates stay as they were retrieved; the reranker reads them once as they are and once with noise in the
queries, in the products' texts, or in both. Each row is paired with the clean order of the same requests. Noise follows
from text and seed, so two runs are measured under the same one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_QUERY
from commerce.intervals import bootstrap, paired
from commerce.metrics import Relevant, find, ndcg
from commerce.noise import KINDS, noised
from commerce.records import Requests
from configs.errors import InputError
from configs.schema import Config
from learning.hardware import machine, working_device
from pipeline.asked import WINDOW, choose
from pipeline.ranking_inputs import RankingInputs
from pipeline.resampling import resampling
from pipeline.robustness_file import ROBUSTNESS
from pipeline.run_folder import RunFolder
from ranking.batches import Examples
from ranking.fusion import fuse, reorder
from ranking.gate import CUT
from ranking.lists import Lists
from ranking.module import Ranker
from ranking.rerank import score_lists

WHERE = {"queries": (True, False), "products": (False, True), "both": (True, True)}
"""What is noised -> (queries, products' texts)."""


def parse_strengths(text: str) -> list[float]:
    """Return the strengths named in ``.1,.3``.

    Raises:
        InputError: if one is no number above 0 and at most 1, or none is named.
    """
    try:
        strengths = sorted({float(part) for part in text.split(",")})
    except ValueError:
        strengths = []
    if not strengths or not all(0 < strength <= 1 for strength in strengths):
        raise InputError(
            f"--strengths {text} is not understood; chances of a word to be changed are expected, above 0 and at most "
            "1, parted by commas: --strengths .1,.3"
        )
    return strengths


@dataclass(frozen=True)
class Reranked:
    """Test requests with all that their shipped order is made of."""

    requests: Requests
    relevant: Relevant
    lists: Lists
    intents: NDArray[np.float32]
    """``[requests, 3]``, chances."""
    clean: Examples
    ranker: Ranker
    weight: float
    config: Config

    @classmethod
    def open(cls, run: RunFolder, config: Config, inputs: RankingInputs, most: int) -> Reranked:
        """Open a finished run's reranker and at most so many test requests, of whole users.

        Raises:
            InputError: if its gate is closed: the shipped order then reads no text.
        """
        gate = json.loads((run.stage("train-ranker") / "gate.json").read_text())
        if not gate["shipped"]:
            raise InputError(
                f"{run.root} ships the blended order ({gate['reason']}), which reads no text that noise could reach; "
                "there is nothing to measure"
            )
        targets = tuple(config.evaluate.targets or config.prepare.targets)
        whole = inputs.requests.of(WINDOW)
        seen_by = targets if config.evaluate.filter_seen else ()
        chosen = choose(whole, inputs.histories, seen_by, most, config.run.seed)
        requests, depth = chosen.requests, config.ranking.depth
        lists = inputs.lists(WINDOW, requests, max(depth, CUT))
        intents = np.load(run.stage("embed") / f"intents_{WINDOW}.npy")[chosen.kept].astype(np.float32)
        clean = inputs.examples(WINDOW, requests, lists.first(depth), "describe")
        checkpoint = run.stage("train-ranker") / "ranker.ckpt"
        ranker = Ranker.load_from_checkpoint(checkpoint, map_location="cpu").to(working_device())
        return cls(requests, chosen.relevant, lists, intents, clean, ranker, float(gate["weight"]), config)

    def ndcg(self, inputs: RankingInputs | None = None, label: str = "clean") -> NDArray[np.float64]:
        """Return NDCG@10 of each request, as it is or with the texts of other inputs."""
        examples, ranking = self.clean, self.config.ranking
        if inputs is not None:
            contexts = inputs.contexts(self.requests, self.intents)
            examples = replace(examples, contexts=contexts, item_tokens=inputs.item_tokens)
        read = score_lists(
            self.ranker,
            examples,
            tokens_per_batch=ranking.tokens_per_batch,
            precision=ranking.precision,
            label=label,
        )
        first = self.lists.first(ranking.depth)
        fused = fuse(read, first.scores, first.kept, self.weight)
        return ndcg(find(reorder(self.lists.items, self.lists.scores, fused)[0], self.relevant), CUT)


def measure_robustness(config: Config, strengths: Sequence[float], most: int) -> dict[str, Any]:
    """Measure the shipped order of a finished run under noise; write and return what ``robustness.json`` holds.

    Args:
        config: of the run.
        strengths: chances of a word to be changed.
        most: test requests, at most; 0: all.

    Raises:
        InputError: if the run is not finished as far as its gate, or that is closed.
    """
    run = RunFolder(Path(config.run.folder))
    run.stage("train-ranker")
    inputs = RankingInputs.open(run, config)
    reranked = Reranked.open(run, config, inputs, most)
    clean, users = reranked.ndcg(), reranked.requests.user
    asked = reranked.requests.query != NO_QUERY
    rows = []
    for kind in KINDS:
        for strength in strengths:
            for where, (queries, items) in WHERE.items():
                # Noise in queries is about requests that have one.
                kept = asked if where == "queries" else np.ones(len(asked), dtype=bool)
                if kept.any():
                    change = partial(noised, kind=kind, strength=strength, seed=config.run.seed)
                    noisy = inputs.noised(change, queries=queries, items=items)
                    found = reranked.ndcg(noisy, f"{kind} {strength:g} in {where}")
                    apart = _apart(config, clean[kept], found[kept], users[kept])
                    rows.append({"noise": kind, "strength": strength, "where": where, **apart})
    options = {"resamples": config.evaluate.bootstrap, "confidence": config.evaluate.confidence, "over": "users"}
    told = {
        "cut": CUT,
        "requests": len(users),
        "with_query": int(asked.sum()),
        "depth": config.ranking.depth,
        "seed": config.run.seed,
        "intervals": options,
        "hardware": machine(),
        "clean": _interval(config, clean, users),
        "rows": rows,
    }
    return ROBUSTNESS.write(run, told)


def robustness_lines(found: dict[str, Any]) -> list[str]:
    """Return what a person reads of ``robustness.json``."""
    clean = found["clean"]
    head = (
        f"shipped order on {found['requests']:,} test requests, {found['with_query']:,} of them with search terms: "
        f"NDCG@{found['cut']} {clean['value']:.4f} [{clean['low']:.4f}, {clean['high']:.4f}]"
    )
    return [head, *map(_line, found["rows"])]


def _line(row: dict[str, Any]) -> str:
    apart = row["difference"]
    return (
        f"  {row['noise']:<7}{row['strength']:<5g}in {row['where']:<9}{row['noised']['value']:.4f}  "
        f"{apart['value']:+.4f} [{apart['low']:+.4f}, {apart['high']:+.4f}] on {row['requests']:,}"
    )


def _apart(
    config: Config, clean: NDArray[np.float64], noisy: NDArray[np.float64], users: NDArray[np.int32]
) -> dict[str, Any]:
    return {
        "requests": len(users),
        "clean": _interval(config, clean, users),
        "noised": _interval(config, noisy, users),
        "difference": paired(noisy, clean, users, **resampling(config)).as_dict(),
    }


def _interval(config: Config, values: NDArray[np.float64], users: NDArray[np.int32]) -> dict[str, float]:
    return bootstrap(values, users, **resampling(config)).as_dict()
