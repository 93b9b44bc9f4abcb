"""What lists are made of, from a metrics.json of three systems, one of which lists nothing."""

import json

import pytest

from pipeline.report.popularity import Shares
from pipeline.report.variety import variety_differences, variety_figures

LISTED = [Shares("mercato", {}, 0.0), Shares("bm25", {}, 0.0, silent=0.34), Shares("mute", {}, 0.0, silent=1.0)]


def number(value):
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


@pytest.fixture
def metrics():
    """Measured at 5 and 20, in pairs of items at 5 alone; the headline's cut-off is 5."""
    names = ("ndcg@5", "ndcg@20", "category_diversity@5", "tail_share@20", "exposure_parity@5", "exposure_parity@20")
    values = {"mercato": 0.25, "bm25": 0.5, "mute": 0.0}
    return {
        "item_group": "seller",
        "systems": {system: {name: number(value) for name in names} for system, value in values.items()},
        "paired": {f"mercato - {other}": {name: number(-0.25) for name in names} for other in ("bm25", "mute")},
    }


def drawn(figure):
    """Return system -> (value, reach of its interval above it) of the marks of a figure."""
    return {
        trace["name"]: (trace["x"][0], pytest.approx(trace["error_x"]["array"][0]))
        for trace in json.loads(str(figure.plot))["data"]
    }


def test_what_the_run_has_is_drawn_with_intervals_and_nothing_else(metrics):
    found = variety_figures("main", metrics, LISTED)
    assert [one.measure for one in found] == ["category_diversity@5", "tail_share@20", "exposure_parity@5"]
    assert drawn(found[0].figure)["mercato"] == (0.25, 0.01)
    assert found[2].figure.title == "Exposure parity@5 over seller"


def test_a_run_without_such_measures_draws_none(metrics):
    plain = {name: {"ndcg@5": number(0.1)} for name in metrics["systems"]}
    assert variety_figures("main", {**metrics, "systems": plain}, LISTED) == []


def test_who_lists_nothing_has_no_mark_and_no_difference(metrics):
    found = variety_figures("main", metrics, LISTED)
    for one in found:
        assert set(drawn(one.figure)) == {"mercato", "bm25"}
        assert one.figure.table.rows[2] == ["mute", "none", "100.0%"]
    differences = variety_differences(metrics, found, LISTED)
    assert [(one.ours, one.other) for one in differences] == [("mercato", "bm25")]
    assert [cell.value for cell in differences[0].cells] == [-0.25] * 3


def test_names_say_who_left_requests_without_a_list():
    assert [shares.label for shares in LISTED] == [
        "mercato",
        "bm25<br><i>no list for 34%</i>",
        "mute<br><i>no list at all</i>",
    ]
