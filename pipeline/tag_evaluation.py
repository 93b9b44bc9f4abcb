"""Whether tags foretell: do purchases of the next window fall in a user's top tags more often than in everybody's?

Tags are made from what came before the test window; a purchase (any target action) in it falls in the top k tags of a
feature if its item has one of them. Both shares are means over users, and so is their difference, with its interval.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, NO_ITEM
from commerce.intervals import paired
from commerce.profiles import ItemTags
from commerce.stretches import stretches

if TYPE_CHECKING:
    from pipeline.profiles import Source

AT = (1, 3, 10)
WINDOW = "test"
_RESAMPLES, _CONFIDENCE, _SEED = 1_000, 0.95, 0


@dataclass(frozen=True)
class Foretold:
    """How often choices fall in the top tags of one feature."""

    feature: str
    k: int
    users: int
    choices: int
    own: float
    """Share of a user's choices that fall in their own top k, mean over users."""
    popularity: float
    """The same for everybody's top k."""
    difference: float
    low: float
    high: float


def evaluate_tags(source: Source) -> list[Foretold]:
    """Return, for each feature of which items have several tags, how often choices in the test window were foretold."""
    tags = source.tags
    cuts = np.load(source.prepared / "cuts.npz")[WINDOW]
    user, item = _choices(source, cuts)
    if not len(user):
        return []
    moments = _moments(source, cuts)
    tagging = source.tagging(cuts, moments)
    asked = np.unique(user)
    hits: dict[tuple[int, int], NDArray[np.bool_]] = {}
    everybody: dict[tuple[int, int], NDArray[np.bool_]] = {}
    for kind in range(len(tags.kinds)):
        own = np.flatnonzero(tags.kind == kind)
        order = own[np.argsort(-tagging.shares[own], kind="stable")]
        for k in AT:
            hits[kind, k] = np.zeros(len(user), dtype=bool)
            everybody[kind, k] = _has_any(tags, item, order[:k])
    for users, strengths in source.strengths(tagging, cuts, moments):
        rows = slice(*np.searchsorted(user, [users[0], users[-1] + 1]))
        place = user[rows] - users[0]
        for kind in range(len(tags.kinds)):
            own = np.flatnonzero(tags.kind == kind)
            order = own[np.argsort(-strengths[:, own], axis=1, kind="stable")[:, : max(AT)]]
            for k in AT:
                hits[kind, k][rows] = _in_top(tags, item[rows], order[place, :k])
    found = []
    for (kind, k), own_hits in hits.items():
        tagged = _tagged(tags, item, kind)
        if not tagged.any() or (tags.kind == kind).sum() <= k:
            continue
        row = np.searchsorted(asked, user[tagged])
        means = [_mean_by_user(hit[tagged], row, len(asked)) for hit in (own_hits, everybody[kind, k])]
        there = np.bincount(row, minlength=len(asked)) > 0
        one, other, who = means[0][there], means[1][there], asked[there]
        between = paired(one, other, who, resamples=_RESAMPLES, confidence=_CONFIDENCE, seed=_SEED)
        counts, shares = (len(who), int(tagged.sum())), (float(one.mean()), float(other.mean()))
        found.append(Foretold(tags.kinds[kind], k, *counts, *shares, between.value, between.low, between.high))
    return found


def tag_lines(found: list[Foretold]) -> list[str]:
    """Return the measurement in lines for a person."""
    if not found:
        return ["tags were not judged: nobody chose anything in the test window"]
    lines = [
        "share of what users chose in the test window that falls in their top k tags, from before it, beside "
        f"everybody's top k ({_CONFIDENCE:.0%} paired interval over users):"
    ]
    for one in found:
        lines.append(
            f"  {one.feature}, top {one.k}: own {one.own:.3f}, popularity {one.popularity:.3f}, difference "
            f"{one.difference:+.3f} ({one.low:+.3f} to {one.high:+.3f}; {one.users:,} users, {one.choices:,} choices)"
        )
    return lines


def _choices(source: Source, cuts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return who chose what from the test window on, ``[choices]`` each, each pair once, sorted by user."""
    histories = source.histories
    user, place = stretches(cuts, histories.offsets[1:] - cuts)
    items = np.asarray(histories.item[place])
    actions = [ACTION_CODES[action] for action in _targets(source)]
    chosen = (items != NO_ITEM) & np.isin(histories.action[place], actions)
    width = source.tags.of_item.shape[0]
    pairs = np.unique(user[chosen] * width + items[chosen])
    return pairs // width, (pairs % width).astype(np.int32)


def _targets(source: Source) -> list[str]:
    """Return the actions that count as a purchase: the heaviest target, or ``purchase`` where it is one."""
    targets: dict[str, float] = source.settings["prepare"]["targets"]
    if "purchase" in targets:
        return ["purchase"]
    most = max(targets.values())
    return [action for action, weight in targets.items() if weight == most]


def _moments(source: Source, cuts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the moment of each user's profile: the window's start, or just after the last event before it."""
    windows = json.loads((source.prepared / "windows.json").read_text(encoding="utf-8"))["windows"]
    if windows[WINDOW]["from"] is not None:
        return np.full(len(cuts), windows[WINDOW]["from"], dtype=np.int64)
    last = np.maximum(cuts - 1, source.histories.offsets[:-1])
    return np.asarray(source.histories.time[np.minimum(last, len(source.histories.time) - 1)]) + 1


def _has_any(tags: ItemTags, items: NDArray[np.int32], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each item has one of the tags."""
    return np.asarray(tags.of_item[items][:, wanted].sum(axis=1)).ravel() > 0


def _in_top(tags: ItemTags, items: NDArray[np.int32], top: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each item has one of its own row's tags, ``[choices, k]``."""
    hit = np.zeros(len(items), dtype=bool)
    for column in top.T:
        hit |= np.asarray(tags.of_item[items, column]).ravel() > 0
    return hit


def _tagged(tags: ItemTags, items: NDArray[np.int32], kind: int) -> NDArray[np.bool_]:
    return _has_any(tags, items, np.flatnonzero(tags.kind == kind))


def _mean_by_user(hit: NDArray[np.bool_], row: NDArray[np.int64], users: int) -> NDArray[np.float64]:
    counts = np.bincount(row, minlength=users)
    means: NDArray[np.float64] = np.bincount(row, weights=hit, minlength=users) / np.maximum(counts, 1)
    return means
