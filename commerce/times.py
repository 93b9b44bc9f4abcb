"""Times as they come - text, timestamps or numbers - to int64 microseconds UTC."""

from __future__ import annotations

import difflib
import zoneinfo
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from commerce.columns import MICROSECONDS
from configs.errors import InputError

_UNITS = {"s": MICROSECONDS, "ms": 1000, "us": 1}
_MOMENT = (
    r"^\s*(\d{4}[-/]\d{1,2}[-/]\d{1,2}(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?)"
    r"\s*(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?\s*$"
)
"""A date, perhaps with a time of day, perhaps with a zone."""


_NUMBER = r"^\s*[+-]?\d+(?:\.\d+)?\s*$"
_WITHOUT_UNIT = "{shown} holds numbers; set data.time_unit to s, ms or us, what they count since 1970 (got {unit!r})"

_CLOCK = dt.Timestamp(scale=6)
_ZONED = dt.Timestamp(timezone="UTC", scale=6)


@ibis.udf.scalar.builtin(signature=((_CLOCK,), dt.int64))
def epoch_us(moment: Any) -> Any:
    """Microseconds from 1970 to a timestamp taken as UTC (DuckDB's own function)."""


@ibis.udf.scalar.builtin(name="epoch_us", signature=((_ZONED,), dt.int64))
def epoch_us_of_zoned(moment: Any) -> Any:
    """Microseconds from 1970 to a timestamp with zone (DuckDB's own function)."""


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, _CLOCK), _ZONED))
def at_zone(zone: Any, moment: Any) -> Any:
    """A timestamp without zone, read on the clocks of ``zone`` (DuckDB's own function)."""


def microseconds(table: ir.Table, column: str, shown: str, timezone: str, unit: str) -> ir.IntegerValue:
    """Return the times in ``column`` as int64 microseconds UTC, null where they cannot be read.

    Args:
        table: with the stored column and ``row``.
        column: text (ISO 8601, or the digits of a number), timestamps, dates or numbers.
        shown: the table's and column's name for messages.
        timezone: zone of times that carry none; empty refuses them.
        unit: of numbers: ``s``, ``ms`` or ``us`` since 1970 UTC.

    Raises:
        InputError: for times without a zone, numbers without a unit, an unknown zone, or a column of another type.
    """
    times = table[column]
    kind = times.type()
    if isinstance(kind, dt.String):
        return _from_text(table, times, shown, _checked_zone(timezone), unit)
    if isinstance(kind, dt.Timestamp) and kind.timezone:
        return epoch_us_of_zoned(times)
    if isinstance(kind, dt.Timestamp | dt.Date):
        if not timezone:
            _refuse_zoneless(table.filter(times.notnull()), column, shown)
        return _local(times.cast(_CLOCK), _checked_zone(timezone))
    if isinstance(kind, dt.Numeric):
        if unit not in _UNITS:
            raise InputError(_WITHOUT_UNIT.format(shown=shown, unit=unit))
        return (times * _UNITS[unit]).cast("int64")
    if isinstance(kind, dt.Null):
        return ibis.null("int64")
    raise InputError(f"{shown} holds {kind}, but text, timestamps or numbers were expected")


def _from_text(table: ir.Table, times: ir.StringValue, shown: str, timezone: str, unit: str) -> ir.IntegerValue:
    # CSV files are read as text, so that ids keep their zeros; numbers of seconds come as digits.
    digits_only = times.re_search(_NUMBER)
    if unit in _UNITS:
        number = times.strip().try_cast("decimal(38, 6)")
        counted = (number * _UNITS[unit]).cast("int64")
        return ibis.ifelse(digits_only, counted, _from_written(table, times, shown, timezone))
    found = table.agg(numbers=digits_only.sum(), written=(~digits_only).sum()).to_pyarrow().to_pylist()[0]
    if found["numbers"] and not found["written"]:
        raise InputError(_WITHOUT_UNIT.format(shown=shown, unit=unit))
    return _from_written(table, times, shown, timezone)


def _from_written(table: ir.Table, times: ir.StringValue, shown: str, timezone: str) -> ir.IntegerValue:
    # DuckDB drops the zone when text becomes a timestamp, so the zone is read apart from it.
    clock = times.re_extract(_MOMENT, 1).try_cast(_CLOCK)
    zone = times.re_extract(_MOMENT, 2)
    zoneless = clock.notnull() & (zone == "")
    if not timezone:
        _refuse_zoneless(table.filter(zoneless), times.get_name(), shown)
    digits = zone.re_replace("[^0-9]", "").rpad(4, "0")
    minutes = digits.substr(0, 2).try_cast("int64") * 60 + digits.substr(2, 2).try_cast("int64")
    offset = ibis.ifelse(zone.startswith("-"), -minutes, minutes) * 60 * MICROSECONDS
    named = zone.upper().isin(["Z", "UTC", "GMT"])
    zoned = epoch_us(clock) - ibis.ifelse(named, ibis.literal(0), offset)
    return ibis.ifelse(zone == "", _local(clock, timezone) if timezone else ibis.null("int64"), zoned)


def _local(clock: ir.TimestampValue, timezone: str) -> ir.IntegerValue:
    if not timezone:  # nothing is there to read: a column of nulls
        return ibis.null("int64")
    return epoch_us_of_zoned(at_zone(ibis.literal(timezone), clock))


def _refuse_zoneless(offending: ir.Table, column: str, shown: str) -> None:
    found = offending.agg(rows=offending.count(), first=offending.row.min(), example=offending[column].min())
    row = found.mutate(example=found.example.cast("string")).to_pyarrow().to_pylist()[0]
    if row["rows"]:
        raise InputError(
            f"{shown}: {row['rows']:,} times carry no zone (first: row {row['first']}; such as {row['example']!r}); "
            "set data.timezone to the zone of the shop's clocks, e.g. data.timezone=UTC, or write times with their zone"
        )


def _checked_zone(timezone: str) -> str:
    known = zoneinfo.available_timezones()
    if timezone and timezone not in known:
        near = difflib.get_close_matches(timezone, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "expected a name such as Asia/Shanghai or UTC"
        raise InputError(f"data.timezone={timezone} is not a time zone; {hint}")
    return timezone
