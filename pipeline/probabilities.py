"""Fits probabilities of views, carts and purchases on ``fit``, judges them on ``gate``, and orders lists by value."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from commerce.calibration_judgement import Judgement, judge_probabilities
from commerce.columns import NO_QUERY
from commerce.features import number_or_nan
from commerce.records import Requests
from configs.errors import InputError
from configs.schema import Config
from pipeline.exposures import Exposures, read_exposures
from pipeline.resampling import resampling
from pipeline.run_folder import RunFolder
from pipeline.stage import Work
from ranking.lists import Lists
from ranking.probabilities import Probabilities, feature_names, list_features
from ranking.value import VALUES, expected_value, order_by_value
from serving.contents import PROBABILITIES as FILE

_BLOCK = 256
"""Requests described together: bounds memory, changes nothing."""
_LEAST = 30
"""Exposures with an action, and without it, that a half must have for the action to be told of."""

Ordered = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Items and scores in the order that ships, ``[requests, candidates]`` each."""


@dataclass(frozen=True)
class Described:
    """Some requests of one window with their lists, before any order by value."""

    requests: Requests
    lists: Lists
    """Blended."""
    ordered: Ordered
    intents: NDArray[np.float32]
    """``[requests, 3]``."""

    def features(self, rows: slice) -> NDArray[np.float32]:
        """Return what is known of the candidates of some requests, ``[rows, candidates, features]``."""
        lists = self.lists
        return list_features(
            lists.items[rows],
            self.ordered[0][rows],
            self.ordered[1][rows],
            lists.source_rank[rows],
            lists.source_score[rows],
            self.intents[rows],
            self.requests.query[rows] != NO_QUERY,
        )

    def rows_of(self, row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return what is known of single candidates, ``[candidates, features]``."""
        parts: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
        for start in range(0, len(self.requests), _BLOCK):
            at = np.flatnonzero((row >= start) & (row < start + _BLOCK))
            if len(at):
                block = self.features(slice(start, start + _BLOCK))
                parts.append((at, block[row[at] - start, column[at]]))
        if not parts:
            return np.zeros((0, len(feature_names(()))), dtype=np.float32)
        order = np.argsort(np.concatenate([at for at, _ in parts]))
        return np.asarray(np.concatenate([rows for _, rows in parts])[order])


def probability_requests(run: RunFolder, config: Config) -> Requests:
    """Return the requests of the validation window that probabilities are fitted and judged on."""
    requests = Requests.read(run.stage("prepare") / "requests.parquet").of("validation")
    draw = np.random.default_rng([config.run.seed, 0x9B0B])
    keep = np.zeros(len(requests), dtype=bool)
    for half in ("fit", "gate"):
        of_half = draw.permutation(np.flatnonzero(requests.half == half))
        keep[of_half[: config.rank.probability_requests]] = True
    return requests.where(keep)


def fit_probabilities(work: Work, described: Described) -> tuple[Probabilities | None, list[str]]:
    """Fit on ``fit``, judge on ``gate`` and write ``probabilities.json``; return the model and what to say.

    Nothing is fitted where a half holds too few exposures, or no action followed often enough.
    """
    config, requests = work.config, described.requests
    exposures = read_exposures(work.run, config, requests, described.lists.items, work.scratch())
    fit, gate = (exposures.of(requests.half == half) for half in ("fit", "gate"))
    enough = [
        column
        for column in range(len(exposures.actions))
        if all(_LEAST <= exposures.happened[rows, column].sum() <= len(rows) - _LEAST for rows in (fit, gate))
    ]
    if not enough:
        return None, ["probabilities: none; too little followed what was shown or retrieved in the validation window"]
    actions = [exposures.actions[column] for column in enough]
    rows = {"fit": fit, "gate": gate}
    told = {half: described.rows_of(exposures.row[at], exposures.column[at]) for half, at in rows.items()}
    model = Probabilities.fit(
        exposures.given,
        actions,
        feature_names(tuple(config.retrieval.sources)),
        told["fit"],
        exposures.position[fit],
        exposures.happened[fit][:, enough],
        kept=exposures.kept.tolist(),
        missed=exposures.missed[:, enough],
    )
    judged = {
        action: judge_probabilities(
            model.followed(told["gate"])[:, column],
            model.followed(told["gate"], exposures.position[gate])[:, column],
            exposures.happened[gate][:, enough[column]],
            float(exposures.happened[fit][:, enough[column]].mean()),
            requests.user[exposures.row[gate]],
            **resampling(config),
        )
        for column, action in enumerate(actions)
    }
    facts = _facts(model, exposures, len(fit), len(gate), judged)
    (work.out / FILE).write_text(json.dumps({**json.loads(model.to_json()), "judged": facts}, indent=1))
    return model, probability_lines(facts)


def _facts(
    model: Probabilities, exposures: Exposures, fit: int, gate: int, judged: dict[str, Judgement]
) -> dict[str, Any]:
    return {
        "given": model.given,
        "fit": fit,
        "gate": gate,
        "outside": exposures.outside,
        "kept": exposures.kept.tolist(),
        "actions": {action: judgement.as_json() for action, judgement in judged.items()},
    }


def read_probabilities(folder: Path) -> dict[str, Any] | None:
    """Return what ``fit_probabilities`` wrote into ``folder``; None where nothing was fitted."""
    path = folder / FILE
    return json.loads(path.read_text()) if path.is_file() else None


def probability_lines(facts: dict[str, Any]) -> list[str]:
    """Say how well the probabilities mean what they say."""
    lines = [
        f"probabilities given {facts['given']}: fitted on {facts['fit']:,} exposures of fit, judged on "
        f"{facts['gate']:,} of gate"
    ]
    for action, judged in facts["actions"].items():
        error = judged["error"]
        spread = f"{error['value']:.4f} [{error['low']:.4f}, {error['high']:.4f}]"
        lines.append(
            f"  P({action} | {facts['given']}): {judged['rate']:.2%} happened, {judged['said']:.2%} said; "
            f"calibration error {spread} (chance alone {judged['by_chance']:.4f}), log-loss {judged['log_loss']:.4f} "
            f"against {judged['log_loss_of_rate']:.4f} of the rate alone"
        )
    if facts["given"] == "shown" and facts["outside"]:
        lines.append(f"  {facts['outside']:,} shown items were not among the candidates of their request and left out")
    return lines


def value_order(run: RunFolder, config: Config, model: Probabilities | None, described: Described) -> Ordered:
    """Return the lists in the order of their expected values, as ``rank.value`` says.

    Raises:
        InputError: where there are no such probabilities, or the items have no bids.
    """
    value, action = config.rank.value, VALUES[config.rank.value]
    if model is None or action not in model.actions:
        raise InputError(
            f"rank.value={value} needs the probability of a {action}, but too few were seen in the validation window "
            "to fit it; lengthen prepare.validation_days, or leave rank.value empty"
        )
    worth = item_worth(run, value)
    items, scores = described.ordered[0].copy(), described.ordered[1].copy()
    for start in range(0, len(items), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(items)))
        values = _values(model, described, rows, value, worth)
        items[rows], scores[rows] = order_by_value(items[rows], scores[rows], values, config.rank.value_depth)
    return items, scores


def _values(
    model: Probabilities, described: Described, rows: slice, value: str, worth: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the expected value of each item in the order that ships, ``[rows, candidates]``."""
    blended, ordered = described.lists.items[rows], described.ordered[0][rows]
    features = described.features(rows)
    query = described.requests.query[rows] != NO_QUERY
    told = np.stack([model.of(features[row], bool(asked)) for row, asked in enumerate(query)])
    values = expected_value(value, told, model, np.where(blended >= 0, worth[np.maximum(blended, 0)], np.nan))
    by_item, back = np.argsort(blended, axis=1, kind="stable"), np.argsort(ordered, axis=1, kind="stable")
    placed = np.empty_like(values)
    np.put_along_axis(placed, back, np.take_along_axis(values, by_item, axis=1), axis=1)
    return placed


def item_worth(run: RunFolder, value: str) -> NDArray[np.float64]:
    """Return what a sale, or a view, of each item is worth, ``[items]``, NaN where unknown; ones for ``purchase``.

    Raises:
        InputError: where items have no column ``bid``.
    """
    prices = np.load(run.stage("prepare") / "prices.npy").astype(np.float64)
    if value == "purchase":
        return np.ones(len(prices))
    if value == "revenue":
        return np.asarray(prices)
    path = run.stage("ingest") / "items.parquet"
    if "bid" not in pq.read_schema(path).names:
        raise InputError("rank.value=bid needs a column `bid` of the items; name it in data.item_columns")
    return np.array([number_or_nan(value) for value in pq.read_table(path, columns=["bid"])["bid"].to_pylist()])
