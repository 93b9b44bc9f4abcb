"""Why an item is not in an answer, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from commerce.columns import ACTION_CODES
from serving.reason_words import moment_words

if TYPE_CHECKING:
    from serving.requests import Request
    from serving.runtime import Runtime
from serving.trace import Trace


def why_not(runtime: Runtime, request: Request, trace: Trace, item: int, place: int | None) -> tuple[str, ...]:
    """Say why an item is not shown.

    Args:
        runtime: of the bundle.
        request: what was asked.
        trace: what was computed for it.
        item: code.
        place: of the item in the whole list, from 1; None where it is not listed.
    """
    barred = _barred(runtime, request, trace, item)
    if barred:
        return tuple(barred)
    ruled = _ruled(runtime, trace, item, place)
    if ruled:
        return tuple(ruled)
    if place is not None:
        return (f"it stands at place {place:,}, and {request.k:,} items were asked for",)
    variant = _variant(runtime, trace, item)
    if variant is not None:
        return (f"a variant of it, {variant}, stands in the list, and the shop shows one variant a list",)
    depth = max(int(runtime.manifest["settings"]["candidates"]), request.k)
    return (f"no source brought it among the best {depth:,} candidates",)


def _barred(runtime: Runtime, request: Request, trace: Trace, item: int) -> list[str]:
    """Return why the request may not be answered with the item."""
    if trace.allowed.row(0, np.array([item]))[0]:
        return []
    since, until = (int(edge[item]) for edge in runtime.contents.availability)
    said = []
    if trace.moment < since:
        said.append(f"it is available from {moment_words(since)} on only")
    if until <= trace.moment:
        ever = until > np.iinfo(np.int64).min
        said.append(f"it has not been available since {moment_words(until)}" if ever else "the shop no longer has it")
    if runtime.item_id(item) in request.exclude:
        said.append("the request excludes it")
    if request.where is not None and not runtime.contents.item_fields.table.passing(request.where)[item]:
        said.append("it does not pass the filter of the request")
    events = trace.visible.events
    had = np.isin(events.action, [ACTION_CODES[action] for action in runtime.manifest["settings"]["targets"]])
    if runtime.protocol(request) == "filter_seen" and item in events.item[had]:
        said.append("the user has had it, and such items are left out")
    return said or ["the shop keeps it out of all answers"]


def _ruled(runtime: Runtime, trace: Trace, item: int, place: int | None) -> list[str]:
    """Return which of the shop's rules for ranked lists moved the item out of sight."""
    rules = runtime.contents.rules
    if rules is None:
        return []
    if item in rules.suppressed:
        return ["the shop suppresses it (after.suppressed)"]
    before = np.flatnonzero(trace.ranked == item)
    if len(before) and place is not None and place > before[0] + 1:
        moved = f"by score it would stand at place {int(before[0]) + 1:,}, but the shop's rules moved it to {place:,}"
        return [f"{moved} ({', '.join(rules.active)})"]
    return []


def _variant(runtime: Runtime, trace: Trace, item: int) -> str | None:
    """Return the id of a variant of the item that stands in the list."""
    groups = runtime.contents.variants
    if groups is None:
        return None
    alike = trace.items[groups[trace.items] == groups[item]]
    return runtime.item_id(int(alike[0])) if len(alike) else None
