"""Graded pairs in: (query, product) rows that people judged, checked, under one row per pair.

A pair is a query, a product's title and other text, and a grade from 0 up. What cannot be used is put aside with a
reason and counted, as the rows of every other table are (``commerce.checks``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend
from numpy.typing import NDArray

from commerce.checks import Checked, absent, part, refuse_empty
from commerce.files import find_files, read_files
from commerce.mapping import nearest, overlooked_columns, rename_columns, require_columns
from commerce.plain_text import narrow, plain
from commerce.splits import drawn_by_hash, share_by_hash
from commerce.texts import item_text, text_columns
from configs.errors import InputError
from configs.schema import RelevanceConfig

NEEDED = ("query", "title", "grade")
OPTIONAL = ("weight", "variance", "fold")
DESCRIPTION = "description"
"""Text that a table may lack: then every product is read as if it had none."""
HIGHEST_GRADE = 30.0
"""A grade gains 2 ** grade - 1; beyond this one product would be worth a billion."""
_SETTING = "relevance.columns"


@dataclass(frozen=True)
class Pairs:
    """Checked pairs in the order of their file; arrays are ``[pairs]``."""

    row: NDArray[np.int64]
    """Place in the source, from 0."""
    query: NDArray[np.int32]
    """Code of the query: its place in ``queries``."""
    queries: list[str]
    """As first written. Queries that differ in case, width or white space alone are one."""
    tower_text: list[str]
    """Product text that the tower reads; may be empty."""
    cross_text: list[str]
    """Product text that the cross-encoder reads; may be empty."""
    grade: NDArray[np.float32]
    weight: NDArray[np.float32]
    """weight / (1 + variance), scaled to a mean of 1."""
    fold: NDArray[np.int32]
    """Of the query: every pair of a query is in one fold."""
    drawn: NDArray[np.float64]
    """A number in [0, 1) by hash of the query, for shares of the queries trained on; smaller shares lie in larger."""
    held_out: NDArray[np.bool_]
    """Whether the query is for validation wherever its fold is trained on."""

    def __len__(self) -> int:
        return len(self.row)

    @property
    def texts(self) -> list[str]:
        """The query of each pair."""
        return [self.queries[code] for code in self.query]

    def write(self, file: Path) -> None:
        """Write all pairs as Parquet."""
        columns = {
            "row": self.row,
            "query": self.query,
            "query_text": self.texts,
            "tower_text": self.tower_text,
            "cross_text": self.cross_text,
            "grade": self.grade,
            "weight": self.weight,
            "fold": self.fold,
            "drawn": self.drawn,
            "held_out": self.held_out,
        }
        pq.write_table(pa.table(columns), file)

    @classmethod
    def read(cls, file: Path) -> Pairs:
        """Read what ``write`` wrote."""
        table = pq.read_table(file)
        arrays = {
            name: table[name].to_numpy() for name in ("row", "query", "grade", "weight", "fold", "drawn", "held_out")
        }
        codes, first = np.unique(arrays["query"], return_index=True)
        assert np.array_equal(codes, np.arange(len(codes)))
        texts = table["query_text"].to_pylist()
        return cls(
            queries=[texts[place] for place in first],
            tower_text=table["tower_text"].to_pylist(),
            cross_text=table["cross_text"].to_pylist(),
            **arrays,
        )


def pair_files(settings: RelevanceConfig) -> list[Path]:
    """Return the files of the pairs table.

    Raises:
        InputError: if it is not set or not there.
    """
    if not settings.pairs:
        raise InputError(
            "relevance.pairs is not set; name a Parquet, CSV or JSON-lines file of graded (query, product) pairs, a "
            "folder of them, or a glob (docs/relevance.md)"
        )
    return find_files(settings.pairs, "", "relevance.pairs")


def check_pairs(warehouse: Backend, settings: RelevanceConfig) -> tuple[Checked, list[str]]:
    """Read the table and part what can be used from what cannot; also return remarks for a person.

    Raises:
        InputError: for an empty table or a column that is not there.
    """
    table = read_files(warehouse, "raw_pairs", pair_files(settings))
    pairs = rename_columns(table, settings.columns, (*NEEDED, *OPTIONAL, DESCRIPTION), "pair", _SETTING)
    require_columns(pairs, NEEDED, "pairs", _SETTING)
    notes = overlooked_columns(pairs, (*OPTIONAL, DESCRIPTION), _SETTING)
    others = [*text_columns(settings.tower_text), *text_columns(settings.cross_text)]
    if DESCRIPTION in others and DESCRIPTION not in pairs.columns:
        pairs = pairs.mutate(**{DESCRIPTION: ibis.null("string")})
        notes.append("the pairs table has no column description: product texts are made without it")
    require_columns(pairs, others, "pairs", "relevance.tower_text and relevance.cross_text")
    refuse_empty("pairs", pairs, "relevance.pairs")
    numbers = {name: _number(pairs[name]) for name in OPTIONAL if name in pairs.columns}
    read = pairs.mutate(query=_text(pairs["query"]), grade=_grades(pairs, settings), **numbers)
    read = read.mutate(**{name: _text(read[name]) for name in others})
    reasons = [
        (absent(read["query"]), "no query"),
        (_all_absent(read, others), "no product text"),
        (read.grade.isnull(), "grade is no number" if not settings.grades else "grade not in relevance.grades"),
        (read.grade < 0, "grade below 0"),
        (read.grade > HIGHEST_GRADE, f"grade above {HIGHEST_GRADE:g}"),
    ]
    if "weight" in numbers:
        reasons.append((read.weight.isnull() | (read.weight <= 0), "weight not above 0"))
    if "variance" in numbers:
        reasons.append((read.variance.isnull() | (read.variance < 0), "variance below 0"))
    if "fold" in numbers:
        reasons.append((read.fold.isnull() | (read.fold < 0) | (read.fold != read.fold.floor()), "fold is no number"))
    return part(warehouse, "pairs", read.mutate(reason=ibis.cases(*reasons))), notes


def lay_pairs(good: ir.Table, settings: RelevanceConfig, seed: int) -> Pairs:
    """Return checked pairs as arrays, with folds and validation queries by hash of the query.

    Raises:
        InputError: where the table's own folds part a query.
    """
    known = [name for name in OPTIONAL if name in good.columns]
    columns = [*dict.fromkeys([*NEEDED, *known, *text_columns([*settings.tower_text, *settings.cross_text])])]
    table = good.order_by("row").select("row", *columns).to_pyarrow()
    rows = table.to_pylist()
    keys = [plain(row["query"]) for row in rows]
    firsts: dict[str, str] = {}
    for key, row in zip(keys, rows, strict=True):
        firsts.setdefault(key, " ".join(narrow(row["query"]).split()))
    distinct = list(firsts)
    codes = {key: code for code, key in enumerate(distinct)}
    query = np.array([codes[key] for key in keys], dtype=np.int32)
    weight = np.array([row.get("weight", 1.0) / (1.0 + row.get("variance", 0.0)) for row in rows])
    if "fold" in known:
        fold = table["fold"].to_numpy().astype(np.int32)
        _refuse_parted(fold, query, list(firsts.values()))
    else:
        fold = np.floor(drawn_by_hash(distinct, seed, "relevance fold") * settings.folds).astype(np.int32)[query]
    return Pairs(
        row=table["row"].to_numpy(),
        query=query,
        queries=list(firsts.values()),
        tower_text=[item_text(row, settings.tower_text) for row in rows],
        cross_text=[item_text(row, settings.cross_text) for row in rows],
        grade=table["grade"].to_numpy().astype(np.float32),
        weight=(weight / weight.mean()).astype(np.float32),
        fold=fold,
        drawn=drawn_by_hash(distinct, seed, "relevance share")[query],
        held_out=share_by_hash(distinct, seed, "relevance validation", settings.validation_share)[query],
    )


def _grades(pairs: ir.Table, settings: RelevanceConfig) -> ir.Value:
    if not settings.grades:
        return _number(pairs.grade)
    words = _text(pairs.grade).strip()
    return ibis.cases(*((words == word, float(grade)) for word, grade in settings.grades.items()))


def _number(column: ir.Value) -> ir.Value:
    """Return finite numbers as float64, null for what is none."""
    known = column.type().is_numeric()
    number = column.cast("float64") if known else _text(column).strip().try_cast("float64")
    return ibis.ifelse(number.isnan() | number.isinf(), ibis.null("float64"), number)


def _text(column: ir.Value) -> ir.StringValue:
    """Return any column as text; a JSON file's column of both numbers and words keeps quotes around the words."""
    text = column.cast("string")
    return text.re_replace('^"|"$', "") if isinstance(column.type(), dt.JSON) else text


def _all_absent(table: ir.Table, columns: list[str]) -> ir.BooleanValue:
    found = absent(table[columns[0]])
    for name in columns[1:]:
        found = found & absent(table[name])
    return found


def _refuse_parted(fold: NDArray[np.int32], query: NDArray[np.int32], queries: list[str]) -> None:
    """Refuse folds of the table that a query stands in more than one of: it would be trained and measured on."""
    lowest, highest = np.full(len(queries), np.iinfo(np.int32).max), np.full(len(queries), -1)
    np.minimum.at(lowest, query, fold)
    np.maximum.at(highest, query, fold)
    parted = np.flatnonzero(lowest != highest)
    if len(parted):
        one = parted[0]
        raise InputError(
            f"the column fold puts {len(parted):,} of {len(queries):,} queries into several folds (first: "
            f"{queries[one]!r}, in {lowest[one]} and {highest[one]}), so that a query would be trained and measured "
            "on; give a query one fold, or leave the column out and set relevance.folds"
        )


def fold_numbers(pairs: Pairs, settings: RelevanceConfig) -> list[int]:
    """Return the folds that are measured, ascending.

    Raises:
        InputError: if one that is named holds no query, or none is left to train on.
    """
    there = sorted(set(pairs.fold.tolist()))
    if len(there) < 2:
        raise InputError(
            f"all {len(pairs.queries):,} queries are in fold {there[0]}, so none is left to train on; give more "
            "queries, or other folds"
        )
    for fold in settings.measured_folds:
        if fold not in there:
            raise InputError(
                f"relevance.measured_folds names {fold}, which holds no query; "
                f"{nearest(str(fold), [str(one) for one in there])}"
            )
    return sorted(set(settings.measured_folds)) or there
