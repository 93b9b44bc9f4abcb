"""What is no leak, but makes numbers say less than they seem to: warned about, never a stop."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise

import numpy as np

from commerce.columns import ACTION_CODES
from commerce.histories import Histories
from commerce.splits import WINDOWS, Split

NEARLY_SOLVED = 0.9
"""Popularity's share of the best system's measure above which a test window says little about personalisation."""
SHARP = 2.0
"""Factor by which the share of targets may change from one window to the next."""
FEWEST = 1_000
"""Events of a window below which its share is too much a matter of luck to be compared."""


def target_shares(histories: Histories, split: Split, targets: Collection[str]) -> dict[str, tuple[float, int]]:
    """Return, for each window in order of time, the share of its events that have a target action, and its events.

    Args:
        histories: of all users.
        split: where windows cut the histories.
        targets: names of actions.
    """
    window = split.window_of(histories)
    aimed = np.isin(histories.action, [ACTION_CODES[action] for action in targets])
    events = np.bincount(window + 1, minlength=len(WINDOWS) + 1)
    hits = np.bincount(window + 1, weights=aimed, minlength=len(WINDOWS) + 1)
    names = ("towers", *WINDOWS)
    return {
        name: (float(hit / count), int(count)) for name, hit, count in zip(names, hits, events, strict=True) if count
    }


def changed_targets(shares: Mapping[str, tuple[float, int]]) -> list[str]:
    """Return a warning for each two neighbouring windows whose share of targets differs sharply.

    Args:
        shares: as ``target_shares`` gives them; windows of fewer than ``FEWEST`` events are not compared.
    """
    said = []
    large = [(name, share) for name, (share, events) in shares.items() if events >= FEWEST]
    for (before, one), (after, other) in pairwise(large):
        low, high = sorted((one, other))
        if high > SHARP * low:
            said.append(
                f"WARNING: targets are {other:.1%} of the events in the {after} window but {one:.1%} in the {before} "
                "window before it. Was logging changed, an action renamed, a campaign run? What was learned before may "
                "not hold after; look at the log around that date, or move the windows"
            )
    return said


def nearly_solved(ndcg: Mapping[str, float]) -> list[str]:
    """Return a warning where popularity alone comes near to the best system.

    Args:
        ndcg: NDCG of each system, ``popularity`` among them; what knows the answers (an oracle) left out.
    """
    if "popularity" not in ndcg or len(ndcg) < 2:
        return []
    popularity = ndcg["popularity"]
    best = max((value, name) for name, value in ndcg.items() if name != "popularity")
    if not popularity or popularity < NEARLY_SOLVED * best[0]:
        return []
    share = popularity / best[0] if best[0] else np.inf
    return [
        f"WARNING: popularity reaches NDCG {popularity:.4f}, {share:.0%} of the best system's ({best[1]}, "
        f"{best[0]:.4f}): this test window says little about personalisation. Look at a longer or "
        "another window, at items new to their users (evaluate.filter_seen=true), or at the segments"
    ]
