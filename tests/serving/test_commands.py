import pytest

from configs.errors import InputError
from serving.commands import parse_where, recommendation_table
from serving.item_rows import parse_time
from serving.requests import Answer, Reason, Recommendation


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-01T00:00:01+00:00", 1_000_000),
        ("1970-01-01T00:00:01", 1_000_000),
        ("1970-01-01T08:00:00+08:00", 0),
        ("1970-01-02", 86_400_000_000),
    ],
)
def test_moments_are_read_as_iso_8601_and_utc_where_no_zone_is_given(text, microseconds):
    assert parse_time(text) == microseconds


def test_what_is_no_moment_is_refused():
    with pytest.raises(InputError, match="'tomorrow' is no moment; write it as"):
        parse_time("tomorrow")


def test_the_table_shows_the_fields_that_the_shop_has_and_every_reason():
    from rich.console import Console

    reasons = (Reason("vectors", 1, 0.9), Reason("popularity", 7, 12.0))
    items = (Recommendation("i1", 0.5, reasons, {"title": "Tea [green]", "price": 2.5, "category": None}),)
    table = recommendation_table(Answer(items, {}, True, 0), "For user u1")
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table)
    shown = console.export_text()
    assert "Tea [green]" in shown
    assert "2.50" in shown
    assert "vectors #1, popularity #7" in shown
    assert "category" not in shown


def test_conditions_are_read_as_a_filter():
    told = ("brand = Zenkai", "brand=Umbrio", "price<=20", "price >= 5", "category=Sports > yoga mat")
    assert parse_where(told) == {
        "brand": ["Zenkai", "Umbrio"],
        "price": {"max": "20", "min": "5"},
        "category": ["Sports > yoga mat"],
    }
    assert parse_where(()) is None


@pytest.mark.parametrize(("told", "why"), [(("price",), "'price' is no condition"), (("a=1", "a<=2"), "at once")])
def test_what_is_no_condition_is_refused(told, why):
    with pytest.raises(InputError, match=why):
        parse_where(told)
