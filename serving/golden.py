"""Golden requests: questions about synthetic users whose answers travel with the bundle.

The answers come from the torch modules when the bundle is made; ``verify`` asks the bundle's own graphs the same
questions on the machine that will serve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from commerce.columns import MICROSECONDS
from serving.manifest import BundleError
from serving.requests import Event, Request

if TYPE_CHECKING:
    from serving.models import Floats, Models, UserInputs
    from serving.runtime import Runtime

COSINE = 0.9999
"""User vectors must be at least this similar to torch's."""
SCORE = 1e-3
"""Scores and probabilities may differ by this much."""
TIE = 3e-4
"""Items whose scores are nearer than this may change places: one rank in one source moves reciprocal rank by at most
1/60 - 1/61 = 2.7e-4."""
NUDGE = 1e-6
"""Noise on a unit user vector under which a golden answer must stand: graphs come to about 2e-7 of torch."""
LEAST_GOLDEN = 50
"""Golden requests that a bundle has at least, once items were added."""
KINDS = ("empty", "one event", "full history", "unknown ids", "english query", "chinese query")
_ENGLISH = (
    "red summer dress",
    "wireless phone charger",
    "organic oat milk",
    "face cream for dry skin",
    "running shoes",
)
_CHINESE = ("红色连衣裙", "无线手机充电器", "有机燕麦牛奶", "干性皮肤面霜", "跑步鞋")
QUERIES = (*_ENGLISH, *_CHINESE)
"""Search terms of golden requests; nobody typed them."""
_NOBODY = "golden-request-unknown"


@dataclass(frozen=True)
class Replay:
    """How near the bundle's answers came to the golden ones."""

    requests: int
    reranked: int
    """Requests in which the reranker was replayed too."""
    lowest_cosine: float
    largest_difference: float
    """Of scores and intent probabilities."""


def golden_requests(count: int, item_ids: Sequence[str], full: int, end: int, k: int, seed: int) -> list[Request]:
    """Make up requests of all ``KINDS`` in turn.

    Args:
        count: requests.
        item_ids: ids of the catalogue, to draw from.
        full: events of a full history.
        end: moment just after the log, in microseconds; events lie in the 30 days before.
        k: items per answer.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    return [
        _request(kind, number, item_ids, full, end, k, random)
        for number, kind in enumerate(islice(cycle(KINDS), count))
    ]


def _request(
    kind: str, number: int, item_ids: Sequence[str], full: int, end: int, k: int, random: np.random.Generator
) -> Request:
    sizes = {"empty": 0, "one event": 1, "full history": full, "unknown ids": 5, "english query": 5, "chinese query": 0}
    size = sizes[kind]
    ids = [item_ids[place] for place in random.integers(len(item_ids), size=size)] if item_ids else []
    if kind == "unknown ids":
        ids[::2] = [f"{_NOBODY}-{place}" for place in range(len(ids[::2]))]
    times = end - np.sort(random.integers(1, 30 * 86_400, size=size))[::-1] * MICROSECONDS
    actions = random.choice(["view", "cart", "purchase"], size=size)
    events = [Event(str(action), int(time), item) for action, time, item in zip(actions, times, ids, strict=False)]
    words = {"english query": _ENGLISH, "chinese query": _CHINESE}.get(kind)
    query = words[number // len(KINDS) % len(words)] if words else ""
    if words and size:  # an earlier search in the history as well
        events.insert(2, Event("search", events[1].time, None, words[(number + 1) % len(words)]))
    return Request(user=_NOBODY, events=tuple(events), query=query, k=k, time=end)


class Shaken:
    """Models whose user vectors are off by ``NUDGE``, as another machine's might be."""

    def __init__(self, models: Models) -> None:
        self.encode, self.score = models.encode, models.score
        self._users = models.users

    def users(self, inputs: UserInputs) -> tuple[Floats, Floats]:
        """Return what the models say, shaken a little."""
        vectors, intents = self._users(inputs)
        noise = np.random.default_rng(0).standard_normal(vectors.shape)
        moved = vectors + NUDGE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
        return moved.astype(np.float32), intents


def record(
    runtime: Runtime, shaken: Runtime, draws: Sequence[Sequence[Request]], reranked: int
) -> list[dict[str, Any]]:
    """Answer golden requests as JSON values for the manifest.

    Args:
        runtime: with the torch modules as its models.
        shaken: the same with ``Shaken`` models.
        draws: lists of requests, all of one length. Place i of the first is taken, unless its answer hangs on the last
            bits of the user vector (two items as near as rounding to it), which differ between machines; then place i
            of the next, and so on.
        reranked: how many are answered with the reranker, the first ones. All of them would take a verifying machine
            longer than everything else together.

    Raises:
        BundleError: if no draw gives a request whose answer stands.
    """
    return [
        _stable(runtime, shaken, choices, number, number < reranked)
        for number, choices in enumerate(zip(*draws, strict=True))
    ]


def record_again(runtime: Runtime, shaken: Runtime, golden: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Answer recorded requests anew, of a bundle whose catalogue has changed; what now hangs on rounding is left out.

    Args:
        runtime: of the changed bundle.
        shaken: the same with ``Shaken`` models.
        golden: as ``record`` gave them. The user vectors must still be these.

    Raises:
        BundleError: if a user vector is another, or fewer than ``LEAST_GOLDEN`` answers stand.
    """
    again = []
    for number, one in enumerate(golden):
        try:
            told = _stable(runtime, shaken, [Request.from_json(one["request"])], number, one["rerank"])
        except BundleError:
            continue
        if _cosine(one["vector"], told["vector"]) < COSINE:
            raise BundleError(f"golden request {number}: the user vector is no longer the recorded one")
        again.append(told)
    if len(again) < min(LEAST_GOLDEN, len(golden)):
        raise BundleError(
            f"only {len(again)} of {len(golden)} golden answers do not hang on the last bits of a user vector; the new "
            "items lie too close to others, or to each other"
        )
    return again


def _stable(runtime: Runtime, shaken: Runtime, choices: Sequence[Request], number: int, rerank: bool) -> dict[str, Any]:
    for request in choices:
        recorded = _recorded(runtime, request, rerank)
        try:
            _compare(recorded, _recorded(shaken, request, rerank), "")
        except BundleError:
            continue
        return recorded
    raise BundleError(
        f"golden request {number}: in {len(choices)} draws the answer hangs on the last bits of the user vector, so it "
        "proves nothing; the item vectors lie too close together (look at the embed stage)"
    )


def _recorded(runtime: Runtime, request: Request, rerank: bool) -> dict[str, Any]:
    # Who asks tells nothing here, and nobody has to be looked up among those who opted out.
    trace = runtime.trace(replace(request, user=None), rerank=rerank)
    return {
        "request": request.as_json(),
        "rerank": rerank,
        "context": trace.context,
        "vector": [round(float(x), 7) for x in trace.vector],
        "intents": [round(float(x), 7) for x in trace.intents],
        "items": [runtime.item_id(item) for item in trace.items[: request.k]],
        "scores": [round(float(score), 7) for score in trace.scores[: request.k]],
    }


def replay(runtime: Runtime, golden: Sequence[Mapping[str, Any]]) -> Replay:
    """Ask ``runtime`` every golden request and compare.

    Raises:
        BundleError: naming the first request whose vector, intents, scores or items are not the golden ones.
    """
    cosines, differences, reranked = [1.0], [0.0], 0
    for number, expected in enumerate(golden):
        found = _recorded(runtime, Request.from_json(expected["request"]), expected["rerank"])
        cosine, difference = _compare(expected, found, f"golden request {number}")
        cosines.append(cosine)
        differences.append(difference)
        # A bundle without a reranker is asked for it all the same, and must answer without.
        reranked += bool(found["context"])
    return Replay(len(golden), reranked, min(cosines), max(differences))


def _compare(expected: Mapping[str, Any], found: Mapping[str, Any], name: str) -> tuple[float, float]:
    """Return (cosine of the user vectors, largest difference of scores and probabilities)."""
    cosine = _cosine(expected["vector"], found["vector"])
    if not cosine >= COSINE:
        raise BundleError(
            f"{name}: the user vector has cosine {cosine:.6f} to the recorded one, but at least {COSINE} was expected; "
            "this machine computes something else, so do not serve from it (compare the versions in the manifest)"
        )
    if expected["context"] != found["context"]:
        raise BundleError(
            f"{name}: the reranker is told {found['context']!r}, but {expected['context']!r} is recorded; this version "
            "of Mercato describes requests otherwise: install the one that made the bundle, or export it again"
        )
    if len(expected["items"]) != len(found["items"]):
        raise BundleError(f"{name}: {len(found['items'])} items came, but {len(expected['items'])} are recorded")
    pairs = [*zip(expected["intents"], found["intents"], strict=True)]
    pairs += zip(expected["scores"], found["scores"], strict=True)
    difference = max((abs(one - other) for one, other in pairs), default=0.0)
    if not difference <= SCORE:
        raise BundleError(
            f"{name}: a score differs by {difference:.2g} from the recorded one, but at most {SCORE:g} was expected; "
            "this machine computes something else, so do not serve from it (compare the versions in the manifest)"
        )
    wrong = same_up_to_ties(expected["items"], expected["scores"], found["items"], found["scores"])
    if wrong is not None:
        raise BundleError(
            f"{name}: item {found['items'][wrong]} stands at place {wrong + 1}, but {expected['items'][wrong]} is "
            "recorded there; the bundle's index or statistics are not those it was made with"
        )
    return cosine, difference


def same_up_to_ties(
    expected: Sequence[str], scores: Sequence[float], found: Sequence[str], found_scores: Sequence[float]
) -> int | None:
    """Return the first place at which ``found`` differs from ``expected`` by more than ties, None where there is none.

    An item may stand at another place only if its recorded score is within ``TIE`` of the one recorded there; an
    item that is not recorded, only if its own score is also within ``TIE`` of the last recorded one, where the list
    was cut.
    """
    recorded = dict(zip(expected, scores, strict=True))
    for place, item in enumerate(found):
        far = abs(recorded.get(item, found_scores[place]) - scores[place])
        if item not in recorded:
            far = max(far, abs(found_scores[place] - scores[-1]))
        if item != expected[place] and not far <= TIE:
            return place
    return None


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if a.shape != b.shape:
        return 0.0
    if not a.any() and not b.any():  # nothing is known of the request
        return 1.0
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))
