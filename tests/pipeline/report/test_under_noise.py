"""Noise in texts on the page, from numbers in sight."""

import json

import pytest

from configs.errors import InputError
from pipeline.report.compose import write_report
from pipeline.report.under_noise import finding, read_noise
from pipeline.robustness_file import ROBUSTNESS
from pipeline.run_folder import RunFolder
from pipeline.stage_key import outputs_digest


def interval(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


def row(noise, where, difference):
    apart, clean = interval(difference), interval(0.4)
    told = {"noise": noise, "strength": 0.3, "where": where, "requests": 200}
    return {**told, "clean": clean, "noised": interval(0.4 + difference), "difference": apart}


FOUND = {
    "format": ROBUSTNESS.format, "cut": 10, "requests": 1200, "with_query": 200, "depth": 50, "seed": 3,
    "intervals": {"resamples": 1000, "confidence": 0.95, "over": "users"}, "hardware": "a <laptop>",
    "clean": interval(0.4), "inputs": {},
    "rows": [row("typos", "queries", -0.02), row("script", "both", -0.05), row("order", "products", 0.001)],
}  # fmt: skip


def test_it_says_which_noise_costs_most():
    assert finding(FOUND) == (
        "NDCG@10 of the shipped order without noise: 0.4000 (0.3900 to 0.4100). The most is lost by look-alike letters "
        "in queries and products, strength 0.3: -0.0500 (-0.0600 to -0.0400)."
    )


def test_where_nothing_is_lost_beyond_chance_it_says_so():
    found = {**FOUND, "rows": [row("typos", "queries", -0.009), row("order", "products", 0.001)]}
    assert finding(found).endswith("No noise that was tried costs it anything beyond chance.")


def test_each_row_has_its_place_and_each_noise_its_mark(tmp_path):
    (tmp_path / "robustness.json").write_text(json.dumps(FOUND))
    figure = read_noise(RunFolder(tmp_path)).figure
    plot = json.loads(str(figure.plot))
    shown = {trace["name"]: (trace["x"], trace["y"]) for trace in plot["data"]}
    assert shown["typos"] == ([-0.02], [2])
    assert shown["look-alike letters"] == ([-0.05], [1])
    assert shown["another order of words"] == ([0.001], [0])
    assert len({trace["marker"]["symbol"] for trace in plot["data"]}) == 3
    labels = [label.replace("<br>", " ") for label in plot["layout"]["yaxis"]["ticktext"]]
    assert labels == [cells[0] for cells in figure.table.rows]
    assert figure.table.rows[1][1:] == ["200", "0.4000", "0.3500", "-0.0500 (-0.0600 to -0.0400)"]


def test_without_a_file_there_is_nothing_and_another_format_is_refused(tmp_path):
    assert read_noise(RunFolder(tmp_path)) is None
    (tmp_path / "robustness.json").write_text(json.dumps({**FOUND, "format": 1}))
    with pytest.raises(InputError, match=r"format 1, and 2 is read; run `mercato robustness CONFIG` again"):
        read_noise(RunFolder(tmp_path))


@pytest.mark.parametrize("current", [True, False])
def test_the_page_shows_it_and_says_when_it_is_out_of_date(tiny_run, tmp_path, current):
    run, _ = tiny_run
    for path in run.folder.iterdir():
        if path.name not in ("report.html", "robustness.json"):
            (tmp_path / path.name).symlink_to(path)
    inputs = {name: outputs_digest(RunFolder(tmp_path), name) for name in ROBUSTNESS.inputs} if current else {}
    (tmp_path / "robustness.json").write_text(json.dumps({**FOUND, "inputs": inputs}))
    page = write_report(RunFolder(tmp_path), tmp_path / "evaluate", seed=0).read_text()
    assert 'href="#noise"' in page
    assert page.count('id="under-noise"') == 1
    assert "a &lt;laptop&gt;" in page
    assert "<laptop>" not in page
    assert ("Measured on files that have changed since" in page) != current
