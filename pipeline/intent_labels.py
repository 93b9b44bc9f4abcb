"""Intent labels of a run: of its requests, its history positions and the moments that the intent head learns from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import ibis.expr.types as ir
import numpy as np
from ibis.backends.duckdb import Backend
from numpy.typing import NDArray

from commerce.columns import INTENTS, NO_INTENT
from commerce.histories import Histories
from commerce.intent import (
    IntentRules,
    fetch_labels,
    history_events,
    label_moments,
    leaf_table,
    moment_table,
    next_labels,
    own_intents,
    session_marks,
)
from commerce.intent_moments import IntentMoments, asked_moments
from commerce.records import Requests
from commerce.requests import session_moments
from commerce.splits import WINDOWS, Split
from commerce.warehouse import keep
from configs.schema import DataConfig, PrepareConfig


@dataclass(frozen=True)
class Labelled:
    """What ``prepare`` keeps of the labels."""

    requests: Requests
    """With their intents."""
    positions: NDArray[np.int8]
    """``[events]``: of the moment just after each, ``NO_INTENT`` without."""
    moments: IntentMoments
    """Session starts and searches of the towers' window."""
    lines: list[str]
    """The rules and the shares, for a person."""


def label_intents(
    warehouse: Backend,
    events: ir.Table,
    histories: Histories,
    split: Split,
    requests: Requests,
    leaf_of_item: NDArray[np.int32],
    relations: Path,
    data: DataConfig,
    prepare: PrepareConfig,
) -> Labelled:
    """Label everything, by the rules or by the shop's own labels.

    Args:
        warehouse: where it is computed.
        events: all events under codes, with their sessions; ``intent`` too where the shop labels its own.
        histories: those that enter histories.
        split: where windows begin.
        requests: without intents.
        leaf_of_item: ``[items]``, -1 without a leaf category.
        relations: Parquet file of declared relations.
        data: the config's section.
        prepare: the config's section.
    """
    window = split.window_of(histories)
    moments = session_moments(events, until=split.starts.get(WINDOWS[0]))
    asked_in = np.array([WINDOWS.index(name) for name in requests.window], dtype=np.int8)
    asked = {
        "requests": moment_table(requests.session, asked_in, requests.time),
        "positions": moment_table(histories.session, window, histories.time),
        "moments": moment_table(moments.session, moments.window, moments.time),
    }
    if data.event_intent:
        own = own_intents(warehouse, events, prepare.history_actions)
        labelled = history_events(histories, window, own)
        labels = {name: fetch_labels(warehouse, next_labels(labelled, table)) for name, table in asked.items()}
        lines = [f"intents: the shop's own labels, column {data.event_intent}: that of the next labelled event"]
    else:
        rules = IntentRules(tuple(prepare.intent_buys), prepare.intent_items, prepare.intent_returns)
        substitutes = _substitutes(warehouse, relations)
        pairs = int(substitutes.count().to_pyarrow().as_py())
        marks = session_marks(
            history_events(histories, window), leaf_table(leaf_of_item), substitutes if pairs else None, rules
        )
        marks = keep(warehouse, "session_marks", marks)
        labels = {name: fetch_labels(warehouse, label_moments(table, marks)) for name, table in asked.items()}
        lines = [f"intents by rule: {'; '.join(rules.words(pairs))}"]
    found = asked_moments(histories, moments, labels["moments"])
    # What is visible at a moment must lie in the towers' window too, also where that is each user's own.
    found = found.rows(found.end < split.cuts[WINDOWS[0]][found.user])
    lines += _shares(
        {"moments": labels["moments"], **{name: labels["requests"][requests.window == name] for name in WINDOWS}}
    )
    return Labelled(replace(requests, intent=labels["requests"]), labels["positions"], found, lines)


def _substitutes(warehouse: Backend, relations: Path) -> ir.Table:
    """Return the declared substitutes, each pair once."""
    declared = warehouse.read_parquet(relations)
    return declared.filter(declared.relation == "substitute").select("item", "other").distinct()


def _shares(labels: Mapping[str, NDArray[np.int8]]) -> list[str]:
    names = {"moments": "session starts and searches before the ranker window"}
    lines = []
    for name, found in labels.items():
        known = found[found != NO_INTENT]
        counts = np.bincount(known, minlength=len(INTENTS)) / max(len(known), 1)
        told = ", ".join(f"{intent} {share:.1%}" for intent, share in zip(INTENTS, counts, strict=True))
        of = names.get(name, f"{name} requests")
        lines.append(f"  {len(known):,} of {len(found):,} {of}: {told}" if len(known) else f"  {of}: none labelled")
    return lines
