"""Train-ranker: a cross-encoder on the ranker window's lists, and the gate that decides whether it ships."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.schema import Config
from learning.hardware import working_device
from pipeline.ranker_lists import write_training
from pipeline.ranker_training import build_ranker, expected_cost, fit_ranker, speed_of
from pipeline.ranking_inputs import (
    MAIN,
    NEW_ITEMS,
    RankingInputs,
    actions_of,
    candidates_file,
    filters_seen,
    protocols_of,
    relevant_of,
)
from pipeline.resampling import resampling
from pipeline.stage import Outcome, Work
from ranking.cost import Cost
from ranking.gate import CUT, Judged, Verdict, choose_weight, closed, judge
from ranking.module import Ranker
from ranking.rerank import score_lists, score_numbers

NOTHING_TO_LEARN = "no request of the ranker window has a relevant candidate beside another one"


def train_ranker(work: Work) -> Outcome:
    """Train the cross-encoder, choose its weight on ``fit`` and judge it on ``gate``."""
    config = work.config
    if not config.ranking.enabled:
        return _write_closed(work, "ranking.enabled is false")
    inputs = RankingInputs.open(work.run, config)
    training = write_training(inputs, config, work.scratch() / "lists")
    print(training.counted, flush=True)
    if not len(training):
        return _write_closed(work, NOTHING_TO_LEARN)
    examples = training.examples
    ranker = build_ranker(inputs, config, examples, training)
    cost = expected_cost(ranker, inputs, config, examples, speed_of(ranker, config, examples, training))
    _announce(cost, config)
    started = time.process_time()
    collapsed = fit_ranker(ranker, config, examples, training, work.out, work.scratch())
    trained = time.process_time() - started
    if collapsed:
        return _write_closed(work, collapsed)
    ranker.to(working_device())
    found = {protocol: _judge(protocol, ranker, inputs, config) for protocol in protocols_of(work.run)}
    return _write(work, training.counted, cost, trained, found, inputs)


def _announce(cost: Cost, config: Config) -> None:
    """Say what is ahead and refuse what is too much."""
    ranking = config.ranking
    print(cost.line(), flush=True)
    settings = ("depth", "layers", "train_requests", "list_length", "epochs", "context_tokens", "gate_users")
    cost.check(ranking.max_minutes, {name: getattr(ranking, name) for name in settings})


@dataclass(frozen=True)
class _Judgement:
    """What became of one protocol."""

    verdict: Verdict
    fit: dict[str, float]
    """NDCG@10 on the ``fit`` half: of the blend, of the numbers alone, and of numbers and texts, each at its best."""

    def as_json(self) -> dict[str, Any]:
        return {**self.verdict.as_json(), f"fit_ndcg@{CUT}": self.fit}


def _judge(protocol: str, ranker: Ranker, inputs: RankingInputs, config: Config) -> _Judgement:
    """Choose the weight on ``fit``, note what the texts add there, and ask the gate."""
    fit, of_numbers = judge_half(protocol, "fit", config.ranking.fit_users, ranker, inputs, config)
    weight, tried = choose_weight(fit)
    _, numbers = choose_weight(replace(fit, read=of_numbers))
    found = {"blend": tried[0.0], "numbers alone": max(numbers.values()), "numbers and texts": max(tried.values())}
    gate, _ = judge_half(protocol, "gate", config.ranking.gate_users, ranker, inputs, config)
    verdict = judge(gate, weight, **resampling(config))
    return _Judgement(verdict, {name: round(value, 5) for name, value in found.items()})


def judge_half(
    protocol: str, half: str, users: int, ranker: Ranker, inputs: RankingInputs, config: Config
) -> tuple[Judged, NDArray[np.float32]]:
    """Return one half's lists with the ranker's scores, and the scores that its numbers alone would give."""
    ranking = config.ranking
    requests = inputs.judged(
        half, users, config.run.seed, new_items=filters_seen(config, protocol), actions=actions_of(config)
    )
    lists = inputs.lists(candidates_file("validation", protocol), requests, max(ranking.depth, CUT))
    examples = inputs.examples("validation", requests, lists.first(ranking.depth))
    read = score_lists(
        ranker,
        examples,
        tokens_per_batch=ranking.tokens_per_batch,
        precision=ranking.precision,
        label=f"{protocol} {half}",
    )
    judged = Judged(lists.items, lists.scores, read, relevant_of(requests), requests.user)
    return judged, score_numbers(ranker, examples)


def _write(
    work: Work, counted: str, cost: Cost, trained: float, found: dict[str, _Judgement], inputs: RankingInputs
) -> Outcome:
    ranking = work.config.ranking
    gate = {
        **found[MAIN].as_json(),
        NEW_ITEMS: found[NEW_ITEMS].as_json() if NEW_ITEMS in found else None,
        "attention": ranking.attention,
        "depth": ranking.depth,
        "context_tokens": ranking.context_tokens,
        "item_tokens": ranking.item_tokens,
        "features": list(inputs.features),
        "reads": list(ranking.reads),
        "sources": list(inputs.sources),
        "lists": counted,
        "cost": {**cost.as_json(), "training_processor_seconds": round(trained, 2)},
    }
    (work.out / "gate.json").write_text(json.dumps(gate, indent=1))
    if not any(judgement.verdict.shipped for judgement in found.values()):
        (work.out / "ranker.ckpt").unlink()
    return Outcome([line for protocol, judgement in found.items() for line in _lines(protocol, judgement)])


def _write_closed(work: Work, reason: str) -> Outcome:
    """Ship the blended order without having trained anything."""
    (work.out / "gate.json").write_text(json.dumps({**closed(reason).as_json(), NEW_ITEMS: None}, indent=1))
    return Outcome([f"gate: the blended order ships: {reason}"])


def _lines(protocol: str, judgement: _Judgement) -> list[str]:
    verdict = judgement.verdict
    what = "the reranked order" if verdict.shipped else "the blended order"
    where = "" if protocol == MAIN else " for items new to their users"
    lines = [f"gate{where}: {what} ships: {verdict.reason}"]
    if verdict.blended and verdict.reranked:
        lines.append(
            f"  NDCG@{CUT} on {verdict.users:,} gate users: blended {verdict.blended.value:.4f}, "
            f"reranked {verdict.reranked.value:.4f}"
        )
    fit = ", ".join(f"{name} {value:.4f}" for name, value in judgement.fit.items())
    return [*lines, f"  NDCG@{CUT} on fit: {fit}"]
