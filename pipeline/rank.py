"""Rank: the order that ships, for every test request: reranked where the gate opened, else blended.

The list of items new to their users is a protocol of its own: it has its own candidates, and its own gate said whether,
and with which weight, it is re-ordered. Where the shop has rules of its own (section ``after``), the lists are then put
under them; what they were before is kept beside, so that ``evaluate`` can say what the rules cost. So it is with an
order by expected value (``rank.value``). Probabilities are fitted here too, for they are about the order that ships.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commerce.records import Requests, write_ranked
from configs.schema import Config
from learning.hardware import working_device
from pipeline.asking import Shop
from pipeline.probabilities import Described, fit_probabilities, probability_requests, value_order
from pipeline.ranking_inputs import MAIN, NEW_ITEMS, PROTOCOLS, RankingInputs, candidates_file
from pipeline.retrieve import VARIANTS
from pipeline.shop_rules import BEFORE, SCORED, arrange_lists, asks_rules, read_rules
from pipeline.stage import Outcome, Work
from ranking.after import Arranged, Rules
from ranking.fusion import fuse, reorder
from ranking.lists import Lists, read_lists
from ranking.module import Ranker
from ranking.probabilities import Probabilities
from ranking.rerank import score_lists


def rank(work: Work) -> Outcome:
    """Write the shipped order of the test window, one file a protocol, and the probabilities that go with it."""
    verdicts = json.loads((work.run.stage("train-ranker") / "gate.json").read_text())
    requests = Requests.read(work.run.stage("prepare") / "requests.parquet").of("test")
    rules = read_rules(work.run, work.config) if asks_rules(work.config.after) else None
    model, lines = _probabilities(verdicts, work)
    for protocol in PROTOCOLS:
        name = candidates_file("test", protocol)
        if not (work.run.stage("retrieve") / f"{name}.parquet").is_file():
            continue
        verdict = verdicts if protocol == MAIN else verdicts[protocol]
        described = _described("test", protocol, requests, verdict, work)
        items, scores = described.ordered
        lines.append(_line(name, items, verdict, work.config))
        if work.config.rank.value:
            write_ranked(work.out / f"{name}{SCORED}.parquet", requests.request_id, items, scores)
            items, scores = value_order(work.run, work.config, model, described)
            lines.append(f"{name}: the first {work.config.rank.value_depth} by expected {work.config.rank.value}")
        if rules is not None:
            write_ranked(work.out / f"{name}{BEFORE}.parquet", requests.request_id, items, scores)
            arranged = _arranged((items, scores), rules, requests, protocol, work)
            items, scores = arranged.items, arranged.scores
            lines += [f"{name}: arranged by {', '.join(rules.active)}", *(f"  {note}" for note in arranged.notes())]
        write_ranked(work.out / f"{name}.parquet", requests.request_id, items, scores)
    return Outcome(lines)


def _probabilities(verdict: dict[str, Any], work: Work) -> tuple[Probabilities | None, list[str]]:
    """Fit the probabilities on lists of the validation window, in the order that ships."""
    if not work.config.rank.probabilities:
        return None, []
    requests = probability_requests(work.run, work.config)
    return fit_probabilities(work, _described("validation", MAIN, requests, verdict, work))


def _described(window: str, protocol: str, requests: Requests, verdict: dict[str, Any] | None, work: Work) -> Described:
    """Return requests of a window with their lists, blended and in the order of their scores."""
    name, config = candidates_file(window, protocol), work.config
    path = work.run.stage("retrieve") / f"{name}.parquet"
    lists = read_lists(path, requests.request_id, config.retrieval.sources, config.retrieval.candidates)
    ordered = lists.items, lists.scores
    if verdict and verdict["shipped"]:
        fused = _fused(window, name, requests, lists.first(config.ranking.depth), verdict["weight"], work)
        ordered = reorder(lists.items, lists.scores, fused)
    whole = Requests.read(work.run.stage("prepare") / "requests.parquet").of(window).request_id
    intents = np.load(work.run.stage("embed") / f"intents_{window}.npy", mmap_mode="r")
    rows = np.searchsorted(whole, requests.request_id)
    return Described(requests, lists, ordered, np.asarray(intents[rows], dtype=np.float32))


def _arranged(
    lists: tuple[NDArray[np.int32], NDArray[np.float32]], rules: Rules, requests: Requests, protocol: str, work: Work
) -> Arranged:
    """Return the lists under the shop's rules."""
    evaluate = work.config.evaluate
    shop = Shop.open(work.run.stage("prepare"), evaluate.targets or work.config.prepare.targets)
    vectors = np.load(work.run.stage("embed") / "item_vectors.npy", mmap_mode="r")
    variants = work.run.stage("retrieve") / VARIANTS
    groups = np.load(variants) if variants.is_file() else None
    filter_seen = evaluate.filter_seen or protocol == NEW_ITEMS
    return arrange_lists(lists, rules, requests, shop, vectors, groups, filter_seen=filter_seen)


def _fused(window: str, name: str, requests: Requests, lists: Lists, weight: float, work: Work) -> Any:
    """Return the shown scores of the first ``ranking.depth`` candidates."""
    ranking = work.config.ranking
    inputs = RankingInputs.open(work.run, work.config)
    checkpoint = work.run.stage("train-ranker") / "ranker.ckpt"
    ranker = Ranker.load_from_checkpoint(checkpoint, map_location="cpu").to(working_device())
    read = score_lists(
        ranker,
        inputs.examples(window, requests, lists),
        tokens_per_batch=ranking.tokens_per_batch,
        precision=ranking.precision,
        label=f"rerank {name}",
    )
    return fuse(read, lists.scores, lists.kept, weight)


def _line(name: str, items: Any, verdict: dict[str, Any] | None, config: Config) -> str:
    requests, candidates = items.shape
    short = int(((items >= 0).sum(axis=1) < config.ranking.depth).sum())
    order = "blended order"
    if verdict and verdict["shipped"]:
        order = f"the first {config.ranking.depth} re-ordered with weight {verdict['weight']:g}"
    shorter = f"; {short:,} lists are shorter than ranking.depth" if short else ""
    return f"{name}: {requests:,} lists of up to {candidates} items, {order}{shorter}"
