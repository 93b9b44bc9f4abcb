"""The choice of reranker on the page and on the console, from numbers in sight."""

import json

import pytest

from pipeline.front_file import FRONT_FILE
from pipeline.report.compose import write_report
from pipeline.report.ranker_choice import findings, front_lines, read_ranker_choice
from pipeline.run_folder import RunFolder
from pipeline.stage_key import outputs_digest


def point(attention, layers, depth, ndcg, minus, cost, **more):
    low, high = minus - 0.01, minus + 0.01
    return {
        "attention": attention, "layers": layers, "depth": depth, "weight": 0.5,
        "ndcg@10": {"value": ndcg, "low": ndcg - 0.05, "high": ndcg + 0.05},
        "minus_best": {"value": minus, "low": low, "high": high},
        "ms": 2 * cost, "processor_ms": cost, "tokens": 10 * cost,
        "unbeaten": True, "as_good": high >= 0, "best": False, "chosen": False, **more,
    }  # fmt: skip


CHOICE = {"attention": "context_once", "layers": 2, "depth": 20}
FRONT = {
    "format": FRONT_FILE.format, "mercato": "0", "dataset": "a shop <b>", "protocol": "main", "settings": {},
    "filter_seen": False,
    "lists": "ranker window: 9 requests, 7 trained on", "requests": 300, "users": 250, "seed": 0,
    "intervals": {"confidence": 0.95, "resamples": 1000}, "hardware": "a laptop", "threads": 1, "device": "cpu",
    "timed": {"requests": 10, "rounds": 5, "precision": "fp32"}, "compared_by": "processor_ms", "max_minutes": 10.0,
    "inputs": {}, "metric": "ndcg@10",
    "points": [
        point("none", 0, 0, 0.30, -0.1, 0.0),
        point("context_once", 1, 10, 0.38, -0.02, 5.0),
        point("context_once", 2, 20, 0.395, -0.005, 20.0, chosen=True),
        point("full", 2, 20, 0.40, 0.0, 80.0, best=True),
    ],
    "refused": [{"attention": "full", "layers": 2, "depth": 50, "minutes": 12.34}],
    "collapsed": [{"attention": "full", "layers": 1, "reason": "training collapsed"}],
    "choice": CHOICE, "gate": {"reason": "NDCG@10 over the blended order rises by +0.1"},
}  # fmt: skip


def test_it_says_what_is_chosen_why_and_what_the_gate_says():
    assert findings(FRONT) == [
        "Chosen: ranking.attention=context_once ranking.layers=2 ranking.depth=20. It is the cheapest that is not "
        "below the best, full, 2 layers, depth 20, beyond chance: -0.0050 (-0.0150 to +0.0050); it costs 25% of that.",
        "On the gate half, which nothing was chosen on: NDCG@10 over the blended order rises by +0.1.",
    ]


def test_where_the_best_is_chosen_it_says_that_all_cheaper_ones_are_worse():
    best = {**FRONT["points"][3], "chosen": True}
    found = {**FRONT, "points": [FRONT["points"][0], best], "choice": {"attention": "full", "layers": 2, "depth": 20}}
    assert "It is the best, and everything cheaper is worse beyond chance." in findings(found)[0]


def test_the_console_shows_every_point_by_cost_and_what_was_not_measured():
    lines = front_lines(FRONT)
    rows = [line.split()[0] for line in lines if line.strip().startswith(("blended", "context_once", "full"))]
    assert rows[:4] == ["blended", "context_once", "context_once", "full"]
    text = " ".join(lines)
    assert "above ranking.max_minutes=10, not measured: full, 2 layers, depth 50: 12.3 min" in text
    assert "Collapsed: full, 1 layer: training collapsed" in text
    assert "a shop <b>: quality and cost of rerankers" in text


def test_the_figure_shows_the_difference_from_the_best_over_the_cost(tmp_path):
    (tmp_path / "front.json").write_text(json.dumps(FRONT))
    for name in FRONT_FILE.inputs:
        (tmp_path / name).mkdir()
    figure = read_ranker_choice(RunFolder(tmp_path)).figure
    plot = json.loads(str(figure.plot))
    traces = {trace["name"]: trace for trace in plot["data"]}
    assert list(traces) == ["context_once, 1 layer", "context_once, 2 layers", "full, 2 layers", "chosen"]
    assert (traces["full, 2 layers"]["x"], traces["full, 2 layers"]["y"]) == ([80.0], [0.0])
    assert (traces["chosen"]["x"], traces["chosen"]["y"]) == ([20.0], [-0.005])
    assert traces["context_once, 1 layer"]["marker"]["symbol"] != traces["context_once, 2 layers"]["marker"]["symbol"]
    assert [shape["y0"] for shape in plot["layout"]["shapes"]] == [0.0, -0.1]
    assert [row[0] for row in figure.table.rows] == ["blended order", "context_once", "context_once", "full"]
    assert [row[-1] for row in figure.table.rows] == ["unbeaten", "unbeaten", "chosen", "best"]


@pytest.mark.parametrize("current", [True, False])
def test_the_page_shows_it_and_says_when_it_is_out_of_date(tiny_run, tmp_path, current):
    run, _ = tiny_run
    for path in run.folder.iterdir():
        if path.name not in ("report.html", "front.json"):
            (tmp_path / path.name).symlink_to(path)
    inputs = {name: outputs_digest(RunFolder(tmp_path), name) for name in FRONT_FILE.inputs} if current else {}
    (tmp_path / "front.json").write_text(json.dumps({**FRONT, "inputs": inputs}))
    page = write_report(RunFolder(tmp_path), tmp_path / "evaluate", seed=0).read_text()
    assert 'href="#ranker-choice"' in page
    assert findings(FRONT)[0] in page
    assert page.count('id="ranker-front"') == 1
    assert ("Measured on files that have changed since" in page) != current
