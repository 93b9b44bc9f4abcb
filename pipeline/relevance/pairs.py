"""Pairs: the graded table, checked, under folds and validation queries by hash."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from commerce.checks import refuse_over_share
from commerce.graded import graded_lists
from commerce.pairs import Pairs, check_pairs, fold_numbers, lay_pairs
from commerce.warehouse import count_rows, open_warehouse
from configs.errors import InputError
from pipeline.stage import Outcome, Work

_SHOWN_GRADES = 12


def pairs(work: Work) -> Outcome:
    """Write ``pairs.parquet``, what was put aside, and a summary."""
    config = work.config
    warehouse = open_warehouse(config.run.threads, config.data.memory_gb, work.scratch())
    checked, notes = check_pairs(warehouse, config.relevance)
    quarantine = work.out / "quarantine.parquet"
    checked.bad.to_parquet(quarantine)
    told = refuse_over_share(checked, config.data.max_quarantine_share, str(quarantine))
    if not count_rows(checked.good):
        raise InputError("no pair is left to train on: every row was put aside; see docs/relevance.md for the columns")
    found = lay_pairs(checked.good, config.relevance, config.run.seed)
    warehouse.disconnect()
    _refuse_useless(found)
    fold_numbers(found, config.relevance)
    found.write(work.out / "pairs.parquet")
    summary = summarise(found, pq.read_metadata(quarantine).num_rows)
    (work.out / "summary.json").write_text(json.dumps(summary, indent=1))
    grades = ", ".join(f"{grade}: {count:,}" for grade, count in summary["grades"].items())
    line = (
        f"{len(found):,} pairs of {len(found.queries):,} queries; grades {grades}; {summary['with_order']:,} queries "
        f"have an order, {summary['one_product']:,} have one product, {summary['one_grade']:,} have products of one "
        f"grade; folds of {', '.join(f'{count:,}' for count in summary['queries_of_fold'].values())} queries"
    )
    return Outcome([*notes, *([told] if told else []), line])


def summarise(found: Pairs, put_aside: int) -> dict[str, Any]:
    """Return the counts that ``summary.json`` and ``relevance.json`` hold."""
    lists = graded_lists(found.query, found.grade, np.full(len(found), True), 0)
    grades, counts = np.unique(found.grade, return_counts=True)
    _, first = np.unique(found.query, return_index=True)
    folds, sizes = np.unique(found.fold[first], return_counts=True)
    shown = {f"{grade:g}": int(count) for grade, count in list(zip(grades, counts, strict=True))[:_SHOWN_GRADES]}
    return {
        "pairs": len(found),
        "put_aside": put_aside,
        "queries": len(found.queries),
        "with_order": len(lists),
        "one_product": lists.one_product,
        "one_grade": lists.one_grade,
        "empty_tower_texts": sum(not text for text in found.tower_text),
        "empty_cross_texts": sum(not text for text in found.cross_text),
        "grades": shown,
        "queries_of_fold": {str(fold): int(size) for fold, size in zip(folds, sizes, strict=True)},
    }


def _refuse_useless(found: Pairs) -> None:
    lowest, highest = float(found.grade.min()), float(found.grade.max())
    if lowest == highest:
        raise InputError(
            f"all {len(found):,} pairs have the grade {lowest:g}, so there is nothing to tell apart; check "
            "relevance.columns.grade and relevance.grades"
        )
