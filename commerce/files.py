"""Tables in files: Parquet, CSV and JSON lines, one file, a folder of them, or a glob."""

from __future__ import annotations

import glob
from pathlib import Path

import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from commerce.warehouse import from_sql, quoted
from configs.errors import InputError

_FORMATS = {"parquet": (".parquet", ".pq"), "csv": (".csv", ".tsv"), "json": (".jsonl", ".ndjson", ".json")}
_PACKED = (".gz", ".zst")
# Types that a JSON reader guesses from the look of a string; as text, they keep the zone that they carry or lack.
_GUESSED = ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "DATE", "TIME", "UUID")


def find_files(pattern: str, folder: str, setting: str) -> list[Path]:
    """Return the files that ``pattern`` names, sorted by path.

    Args:
        pattern: a file, a folder (all files of a known format in it, at any depth) or a glob.
        folder: where a relative pattern starts from.
        setting: the setting that holds ``pattern``, for the message.

    Raises:
        InputError: if there is none, one of another format, or a mix of formats.
    """
    path = Path(folder) / pattern
    if path.is_dir():
        found = [file for file in path.rglob("*") if file.is_file() and _format(file)]
    elif path.is_file():
        found = [path]
    else:
        found = [file for name in glob.glob(str(path), recursive=True) if (file := Path(name)).is_file()]
    if not found:
        raise InputError(
            f"{setting}={pattern}: no file found at {path}; expected a Parquet, CSV or JSON-lines file, a folder of "
            "them, or a glob"
        )
    formats = {_format(file) for file in found}
    if "" in formats or len(formats) > 1:
        names = ", ".join(sorted({file.name for file in found})[:5])
        raise InputError(
            f"{setting}={pattern}: one format is expected, found {names}; "
            f"known endings are {', '.join(ending for endings in _FORMATS.values() for ending in endings)}"
        )
    return sorted(found)


def read_files(warehouse: Backend, name: str, files: list[Path]) -> ir.Table:
    """Read files of one format into the stored table ``name``, with ``row`` counting from 0 in their order.

    CSV columns come as text, so that ids keep their zeros and times their zones; columns of several files are joined
    by name.

    Raises:
        InputError: for a file that cannot be read as its ending says.
    """
    import duckdb

    listed = "[" + ", ".join(quoted(file) for file in files) + "]"
    kind = _format(files[0])
    try:
        if kind == "parquet":
            source = f"read_parquet({listed}, union_by_name = true)"
        elif kind == "csv":
            source = f"read_csv({listed}, all_varchar = true, header = true, union_by_name = true)"
        else:
            source = _json_source(warehouse, listed)
        columns = [row[0] for row in warehouse.raw_sql(f"DESCRIBE SELECT * FROM {source}").fetchall()]
        # A shop's own column named row would clash with ours.
        others = "* EXCLUDE (row)" if "row" in columns else "*"
        return from_sql(warehouse, name, f"SELECT row_number() OVER () - 1 AS row, {others} FROM {source}")
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{files[0]} cannot be read as {kind}: {reason}") from error


def _json_source(warehouse: Backend, listed: str) -> str:
    read = f"read_json({listed}, format = 'newline_delimited', union_by_name = true, sample_size = -1"
    described = warehouse.raw_sql(f"DESCRIBE SELECT * FROM {read})").fetchall()
    types = {row[0]: "VARCHAR" if row[1] in _GUESSED else row[1] for row in described}
    columns = ", ".join(f"{quoted(column)}: {quoted(kind)}" for column, kind in types.items())
    return f"{read}, columns = {{{columns}}})"


def _format(file: Path) -> str:
    """Return the format that the ending of ``file`` tells, empty for another one."""
    name = file.name.lower()
    for packed in _PACKED:
        name = name.removesuffix(packed)
    return next((kind for kind, endings in _FORMATS.items() if name.endswith(endings)), "")
