"""What the two precisions of a graph are tried on: requests of the gate's half of validation, asked of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from commerce.columns import NO_QUERY
from commerce.metrics import find, ndcg, recall
from commerce.records import Requests
from commerce.session_statistics import STATISTICS
from commerce.state import with_query
from pipeline.ranking_inputs import RankingInputs, relevant_of
from ranking.fusion import fuse, reorder
from retrieval.filters import NOTHING, Allowed
from retrieval.index import ItemIndex
from serving.models import GRAPHS, Floats, OnnxModels, UserInputs, user_inputs
from serving.users import UserFeatures

if TYPE_CHECKING:
    from pipeline.bundle_source import BundleSource

_AT = 10
_TEXTS = 200
"""Texts whose vectors are compared, at most."""


@dataclass(frozen=True)
class Trial:
    """One graph in both precisions."""

    part: str
    """Of the manifest's ``models``."""
    calls: Mapping[str, Callable[[int], object]]
    """By name of the candidate (``fp32``, ``int8``, ``torch``): answers the request of a number, round and round."""
    cosines: Floats
    """Of the outputs of the two graphs, row by row; of scores, list by list."""
    bytes: dict[str, int]
    """Of the graphs' files."""
    measure: str = ""
    values: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    """The measure of each request by fp32 and by int8; None where no request can tell."""
    users: NDArray[np.integer] | None = None
    """Of these requests."""
    overlap: float = 1.0
    """Mean share of the first ten items that both list."""


def trials(
    folder: Path, fp32: OnnxModels, int8: OnnxModels, models: dict[str, Any], source: BundleSource
) -> Iterator[Trial]:
    """Yield the trial of every graph that the bundle has."""
    asked = _Asked.of(source, folder, models) if models["user"] is not None else None
    yield _text_trial(folder, fp32, int8, source, asked)
    if asked is not None and len(asked.requests):
        yield _user_trial(folder, fp32, int8, source, asked)
        if models["reranker"] is not None:
            yield _reranker_trial(folder, fp32, int8, source, asked.requests)


@dataclass(frozen=True)
class _Asked:
    """Requests of the gate's half, and what answers them."""

    source: BundleSource
    folder: Path
    length: int
    requests: Requests
    features: UserFeatures
    index: ItemIndex

    @classmethod
    def of(cls, source: BundleSource, folder: Path, models: dict[str, Any]) -> _Asked:
        requests = Requests.read(source.prepared / "requests.parquet").of("validation", "gate")
        return cls(
            source,
            folder,
            models["user"]["length"],
            _some(requests, source.config.export.precision_requests, source.config.run.seed),
            UserFeatures.open(source.prepared / "users_features"),
            ItemIndex.load(folder / "index", gpus=0),
        )

    def only(self, keep: NDArray[np.bool_]) -> _Asked:
        return _Asked(self.source, self.folder, self.length, self.requests.where(keep), self.features, self.index)

    def inputs(self, row: int, encode: Callable[[list[str]], Floats]) -> UserInputs:
        """Return what the user tower reads of a request, its search terms encoded anew."""
        requests, histories = self.requests, self.source.histories
        user, moment = int(requests.user[row]), int(requests.time[row])
        events = histories.events(user, int(requests.history_end[row]))
        events = with_query(events, int(requests.query[row]), moment)

        def vectors(codes: NDArray[np.int64]) -> Floats:
            found = np.zeros((*codes.shape, self.source.text_encoder.dim), dtype=np.float32)
            some = codes != NO_QUERY
            if some.any():
                found[some] = encode([self.source.query_texts[code] for code in codes[some]])
            return found

        # Where the user stands is asked for, which numbers about the session say nothing of.
        none = np.zeros((1, len(STATISTICS)), dtype=np.float32)
        return user_inputs([events], self.features.row(user), self.length, self.source.item_vectors, vectors, none)

    def vectors(self, users: OnnxModels, texts: OnnxModels) -> Floats:
        """Return each request's user vector by one tower and one text encoder, ``[requests, dim]``."""
        known: dict[str, Floats] = {}

        def encode(wanted: list[str]) -> Floats:
            for text in wanted:
                if text not in known:  # alone, as a request encodes it
                    known[text] = texts.encode([text])[0]
            return np.stack([known[text] for text in wanted])

        rows = range(len(self.requests))
        return np.concatenate([users.users(self.inputs(row, encode))[0] for row in rows])

    def items(self, vectors: Floats) -> NDArray[np.int32]:
        """Return the ten items nearest to each vector that were to be had then, ``[requests, 10]``."""
        with np.load(self.folder / "availability.npz") as dates:
            allowed = Allowed(dates["from"], dates["until"], self.requests.time, [NOTHING] * len(self.requests))
        return self.index.search(vectors, _AT, allowed)[0]


def _text_trial(folder: Path, fp32: OnnxModels, int8: OnnxModels, source: BundleSource, asked: _Asked | None) -> Trial:
    texts = _spread([text for text in source.item_texts if text])
    judged = None
    if asked is not None:
        searched = asked.only(asked.requests.query != NO_QUERY)
        if len(searched.requests):
            judged = searched
            codes = dict.fromkeys(searched.requests.query.tolist())
            texts = _spread([source.query_texts[code] for code in codes])
    torch = source.torch_models()
    calls = {
        name: (lambda number, models=models: models.encode([texts[number % len(texts)]]))
        for name, models in {"fp32": fp32, "int8": int8, "torch": torch}.items()
    }
    pairs = [(fp32.encode([text])[0], int8.encode([text])[0]) for text in texts]
    one, other = (np.stack(side) for side in zip(*pairs, strict=True))
    told = Trial("text", calls, _cosines(one, other), _bytes(folder, int8, "text"))
    if judged is None:
        return told
    return _judged(told, judged, judged.vectors(fp32, fp32), judged.vectors(fp32, int8))


def _user_trial(folder: Path, fp32: OnnxModels, int8: OnnxModels, source: BundleSource, asked: _Asked) -> Trial:
    few = [asked.inputs(row, fp32.encode) for row in range(min(len(asked.requests), _TEXTS))]
    calls = {
        name: (lambda number, models=models: models.users(few[number % len(few)]))
        for name, models in {"fp32": fp32, "int8": int8, "torch": source.torch_models()}.items()
    }
    one, other = asked.vectors(fp32, fp32), asked.vectors(int8, fp32)
    told = Trial("user", calls, _cosines(one, other), _bytes(folder, int8, "user"))
    return _judged(told, asked, one, other)


def _judged(trial: Trial, asked: _Asked, one: Floats, other: Floats) -> Trial:
    """Add Recall@10 of the items nearest to the user vectors of both."""
    relevant = relevant_of(asked.requests)
    lists = asked.items(one), asked.items(other)
    fp32, int8 = (recall(find(items, relevant), _AT) for items in lists)
    return Trial(
        **{
            **vars(trial),
            "measure": f"recall@{_AT}",
            "values": (fp32, int8),
            "users": asked.requests.user,
            "overlap": _overlap(*lists),
        }
    )


def _reranker_trial(
    folder: Path, fp32: OnnxModels, int8: OnnxModels, source: BundleSource, requests: Requests
) -> Trial:
    """Compare NDCG@10 of the lists in both orders, as the gate judges."""
    inputs = RankingInputs.open(source.run, source.config)
    weight = source.reranker_weights["filter_seen" if source.config.evaluate.filter_seen else "keep_seen"]
    name = "validation"
    if weight is None:  # only the list of new items ships reordered
        name, weight = "validation_new", source.reranker_weights["filter_seen"]
    assert weight is not None, "a reranker ships under one protocol at least"
    depth = int(source.gate["depth"])
    lists = inputs.lists(name, requests, depth)
    examples = inputs.examples("validation", requests, lists)

    def scores(models: OnnxModels, row: int) -> Floats:
        kept = int(lists.kept[row].sum())
        context = examples.contexts.of(row).tolist()
        return models.score_tokens(
            context, lists.items[row, :kept], examples.features[row, :kept], examples.intent[row]
        )

    full = np.flatnonzero(lists.kept.sum(axis=1) > 1)
    read = {which: np.full(lists.items.shape, -np.inf, dtype=np.float32) for which in ("fp32", "int8")}
    for which, models in (("fp32", fp32), ("int8", int8)):
        for row in full:
            read[which][row, : int(lists.kept[row].sum())] = scores(models, int(row))
    orders = [
        reorder(lists.items, lists.scores, fuse(one, lists.scores, lists.kept, weight))[0] for one in read.values()
    ]
    relevant = relevant_of(requests)
    values = tuple(ndcg(find(order, relevant), _AT) for order in orders)
    centred = [[one[row][lists.kept[row]] - one[row][lists.kept[row]].mean() for row in full] for one in read.values()]
    cosines = [_cosines(one[None], other[None])[0] for one, other in zip(*centred, strict=True)]
    calls = {
        which: (lambda number, models=models: scores(models, int(full[number % len(full)])))
        for which, models in (("fp32", fp32), ("int8", int8))
    }
    return Trial(
        "reranker",
        calls,
        np.array(cosines, dtype=np.float32),
        _bytes(folder, int8, "reranker"),
        f"ndcg@{_AT}",
        (values[0], values[1]),
        requests.user,
        _overlap(orders[0][:, :_AT], orders[1][:, :_AT]),
    )


def _some(requests: Requests, most: int, seed: int) -> Requests:
    """Return at most ``most`` requests, drawn at random."""
    keep = np.zeros(len(requests), dtype=bool)
    keep[np.random.default_rng([seed, 0x178]).permutation(len(requests))[:most]] = True
    return requests.where(keep)


def _spread(texts: list[str]) -> list[str]:
    """Return some of the texts, evenly over them."""
    rows = np.unique(np.linspace(0, len(texts) - 1, min(len(texts), _TEXTS)).astype(np.int64))
    return [texts[row] for row in rows]


def _cosines(one: Floats, other: Floats) -> Floats:
    """Return the cosine of each pair of rows, 1 where both are nothing."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    found: Floats = np.where(lengths > 0, (one * other).sum(axis=1) / np.maximum(lengths, 1e-12), 1.0)
    return found


def _overlap(one: NDArray[np.int32], other: NDArray[np.int32]) -> float:
    shares = [
        len(np.intersect1d(a[a >= 0], b[b >= 0])) / max(1, int((a >= 0).sum())) for a, b in zip(one, other, strict=True)
    ]
    return float(np.mean(shares))


def _bytes(folder: Path, int8: OnnxModels, part: str) -> dict[str, int]:
    return {"fp32": (folder / GRAPHS[part]).stat().st_size, "int8": int8.graph(part).stat().st_size}
