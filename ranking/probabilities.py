"""Probabilities of a view, a cart and a purchase of a listed item. NumPy only: ``rank`` fits them, serving tells them.

A logistic regression on what is known when a list is made: the item's place and score in it, the place and score that
each source gave it, the intents, whether there are search terms. Where lists were logged with positions, the position
joins as a term of its own while training (as the shallow tower of Zhao et al. 2019 does), so that a place's luck is not
taken for an item's merit; what is told is the mean over the log's positions. Requests that nothing at all followed are
not among those a run keeps: ``kept`` and ``missed`` put them back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ranking.fusion import standardise
from ranking.logistic import fit_logistic, sigmoid

Floats = NDArray[np.float64]

SHOWN, RETRIEVED = "shown", "retrieved"
"""What a probability supposes: that the item was shown, or only that it was among the candidates."""
POSITIONS = 20
"""Positions told apart; further ones count as the last of these."""
_HEAD = 50
"""First places whose scores say what is usual in the list."""
_FACTS = ("place", "log_place", "score", "query", "query_place", "query_log_place", "compare", "buy", "buy_place")


def feature_names(sources: Sequence[str]) -> tuple[str, ...]:
    """Return the names of ``list_features``' columns, in order."""
    return (*_FACTS, *(f"{source}_{fact}" for source in sources for fact in ("found", "place", "score")))


def list_features(
    items: NDArray[np.int32],
    ordered: NDArray[np.int32],
    scores: NDArray[np.float32],
    source_rank: NDArray[np.int32],
    source_score: NDArray[np.float32],
    intents: NDArray[np.float32],
    query: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Return what is known of each candidate, float32 ``[requests, candidates, features]``; 0 past a list's end.

    Args:
        items: ``[requests, candidates]`` in blended order, ``NO_ITEM`` padded.
        ordered: ``[requests, candidates]``, the same items in the order that ships.
        scores: ``[requests, candidates]``, falling along ``ordered``.
        source_rank: ``[requests, candidates, sources]``, of ``items``; from 0, -1 where a source did not find one.
        source_score: ``[requests, candidates, sources]``.
        intents: ``[requests, 3]``.
        query: ``[requests]``, whether there are search terms.
    """
    kept = items >= 0
    place = _places(items, ordered)
    head = np.arange(items.shape[1]) < _HEAD
    usual = standardise(np.where(ordered >= 0, scores, 0.0).astype(np.float32), (ordered >= 0) & head)
    score = np.take_along_axis(_carried(usual, scores, ordered, head), place, axis=1)
    discount, log_place = 1.0 / np.log2(place + 2.0), np.log1p(place)
    asked = np.broadcast_to(query[:, None], items.shape).astype(np.float64)
    compare, buy = (np.broadcast_to(intents[:, code, None], items.shape) for code in (1, 2))
    facts = [discount, log_place, score, asked, asked * discount, asked * log_place, compare, buy, buy * discount]
    found = source_rank >= 0
    of_source = np.where(found, 1.0 / np.log2(np.maximum(source_rank, 0) + 2.0), 0.0)
    of_score = np.where(found, np.sign(source_score) * np.log1p(np.abs(source_score)), 0.0)
    by_source = np.stack([found, of_source, of_score], axis=3).reshape(*items.shape, -1)
    features = np.concatenate([np.stack(facts, axis=2), by_source], axis=2)
    return np.where(kept[:, :, None], features, 0.0).astype(np.float32)


@dataclass(frozen=True)
class Probabilities:
    """A fitted model; lists, so that it is JSON as it stands."""

    given: str
    """``shown`` or ``retrieved``."""
    actions: list[str]
    features: list[str]
    mean: list[float]
    """``[features]``."""
    scale: list[float]
    """``[features]``."""
    weights: list[list[float]]
    """``[actions, features]``, of the standardised features, in log-odds."""
    bias: list[float]
    """``[actions]``."""
    positions: list[list[float]]
    """``[actions, positions]``: what a place in the log's lists adds, in log-odds; one 0 without positions."""
    position_share: list[float]
    """``[positions]``: how often items stood there."""
    kept: list[float]
    """Share of lists that something followed, without and with search terms: the model was fitted on those."""
    missed: list[list[float]]
    """``[2, actions]``: how often each action followed in the other lists."""

    @classmethod
    def fit(
        cls,
        given: str,
        actions: Sequence[str],
        names: Sequence[str],
        features: NDArray[np.float32],
        position: NDArray[np.integer],
        happened: NDArray[np.bool_],
        *,
        kept: Sequence[float] = (1.0, 1.0),
        missed: NDArray[np.floating] | None = None,
    ) -> Self:
        """Fit every action.

        Args:
            given: ``shown`` or ``retrieved``.
            actions: names.
            names: of the features.
            features: ``[rows, features]``.
            position: ``[rows]``, from 0; -1 for all where the log has none.
            happened: ``[rows, actions]``.
            kept: as the field.
            missed: as the field; None: nothing ever followed in them.
        """
        mean, spread = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
        scale = np.where(spread > 1e-6, spread, 1e12)  # what never varied says nothing, for ever
        standard = (features - mean) / scale
        places = np.minimum(np.maximum(position, 0), POSITIONS - 1)
        count = int(places.max(initial=0)) + 1
        shown_at = np.eye(count)[places] if count > 1 else np.zeros((len(places), 1))
        design = np.concatenate([np.ones((len(standard), 1)), standard, shown_at], axis=1)
        ridge = np.concatenate([[0.0], np.ones(design.shape[1] - 1)])
        found = [fit_logistic(design, happened[:, column], ridge) for column in range(len(actions))]
        width = features.shape[1]
        return cls(
            given=given,
            actions=list(actions),
            features=list(names),
            mean=mean.tolist(),
            scale=scale.tolist(),
            weights=[one[1 : 1 + width].tolist() for one in found],
            bias=[float(one[0]) for one in found],
            positions=[one[1 + width :].tolist() for one in found],
            position_share=(np.bincount(places, minlength=count) / max(1, len(places))).tolist(),
            kept=[float(share) for share in kept],
            missed=(np.zeros((2, len(actions))) if missed is None else np.asarray(missed)).tolist(),
        )

    def followed(self, features: NDArray[np.float32], position: NDArray[np.integer] | None = None) -> Floats:
        """Return the probabilities in lists that something followed, ``[rows, actions]``.

        Args:
            features: ``[rows, features]``.
            position: ``[rows]``, where it is known; None: the mean over the log's positions.
        """
        standard = (features - np.asarray(self.mean)) / np.asarray(self.scale)
        log_odds = standard @ np.asarray(self.weights).T + np.asarray(self.bias)
        by_position = np.asarray(self.positions).T
        if position is not None:
            at = np.minimum(np.maximum(position, 0), len(by_position) - 1)
            return sigmoid(log_odds + by_position[at])
        told = sigmoid(log_odds[:, None, :] + by_position[None])
        return np.asarray(np.einsum("rpa,p->ra", told, np.asarray(self.position_share)))

    def of(self, features: NDArray[np.float32], query: bool) -> Floats:
        """Return the probabilities that are told, ``[rows, actions]``: of all lists, with or without search terms."""
        kept, missed = self.kept[int(query)], np.asarray(self.missed)[int(query)]
        return np.asarray(kept * self.followed(features) + (1.0 - kept) * missed)

    def column(self, action: str) -> int:
        """Return the place of an action in what is told."""
        return self.actions.index(action)

    def to_json(self) -> str:
        """Return all of it as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild what ``to_json`` gave; what else stands there is left out."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__})


def _places(items: NDArray[np.int32], ordered: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return where in ``ordered`` each of ``items`` stands; both hold the same items in every row."""
    place = np.empty(items.shape, dtype=np.int64)
    by_item = np.argsort(items, axis=1, kind="stable")
    np.put_along_axis(place, by_item, np.argsort(ordered, axis=1, kind="stable"), axis=1)
    return place


def _carried(
    usual: NDArray[np.float32], scores: NDArray[np.float32], ordered: NDArray[np.int32], head: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return standardised scores of the head; places below it carry the head's lowest, so that no unit matters."""
    inside = (ordered >= 0) & head
    lowest = np.where(inside, usual, np.inf).min(axis=1, keepdims=True)
    return np.where(inside, usual, np.where(np.isfinite(lowest), lowest, 0.0)).astype(np.float32)
