"""The front over a made-up run: what is trained, what is taken as it is, what is refused, and what is said."""

import json

import numpy as np
import pytest

from configs.errors import InputError
from pipeline import front as module
from pipeline.front import measure_front
from pipeline.front_file import FRONT_FILE
from pipeline.front_grid import Asked, config_of, read_grid
from pipeline.front_shapes import Bench, point_costs
from pipeline.ranking_inputs import RankingInputs
from pipeline.report.ranker_choice import findings, front_lines, read_ranker_choice
from pipeline.run_folder import RunFolder
from pipeline.stage import STAGES
from pipeline.stage_key import stage_key
from pipeline.train_ranker import train_ranker
from ranking.cost import Speed
from ranking.front import Point, Shape
from tests.pipeline.test_train_ranker import USERS, build_config, build_run, run_stage, seal

GRID = Asked(attentions=["context_once", "full"], layers=[1, 2], depths=[2, 10])
SIZES = {"context_tokens": 40, "fit_users": 100}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Users buy the nearest of their first ten candidates, so that a depth of two finds little."""
    run = build_run(tmp_path_factory.mktemp("front"), lambda affinity, draw: affinity[:, :10].argmax(axis=1))
    seal(run, "adapt", lambda folder: None)
    return run


@pytest.fixture(scope="module", autouse=True)
def _no_stages():
    """The made-up run has no log that its stages could be run from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "run_stages", lambda config, names, say: None)
        patch.setattr(module, "ROUNDS", 2)
        yield


@pytest.fixture(scope="module")
def measured(planted):
    said: list[str] = []
    return measure_front(build_config(planted, **SIZES), GRID, said.append), said


def beside(run, folder):
    for name in ("prepare", "adapt", "embed", "retrieve"):
        (folder / name).symlink_to(run.root / name)
    return RunFolder(folder)


def test_every_point_is_measured_and_the_file_says_on_what(measured, planted):
    found, _ = measured
    assert json.loads((planted.root / "front.json").read_text()) == json.loads(json.dumps(found))
    grid = {(a, n, d) for a in ("context_once", "full") for n in (1, 2) for d in (2, 10)} | {("none", 0, 0)}
    assert {(p["attention"], p["layers"], p["depth"]) for p in found["points"]} == grid
    assert (found["requests"], found["users"]) == (100, 100)
    assert all(p["tokens"] > 0 and p["processor_ms"] > 0 for p in found["points"] if p["layers"])


def test_the_choice_reaches_where_the_wanted_items_are_and_the_gate_confirms_it(measured):
    found, _ = measured
    assert found["choice"]["depth"] == 10
    assert found["gate"]["shipped"]
    assert found["gate"]["users"] == USERS // 2
    by_depth = {p["depth"]: p["minus_best"]["high"] for p in found["points"]}
    assert by_depth[2] < 0
    assert by_depth[0] < 0


def test_a_point_has_the_quality_that_the_stage_itself_finds(measured, planted, tmp_path):
    found, _ = measured
    point = Point("context_once", 2, 10)
    config = config_of(build_config(planted, **SIZES), point)
    run_stage(beside(planted, tmp_path), config, "train-ranker", train_ranker)
    gate = json.loads((tmp_path / "train-ranker/gate.json").read_text())
    of_point = next(p for p in found["points"] if (p["attention"], p["layers"], p["depth"]) == point)
    assert of_point["ndcg@10"]["value"] == pytest.approx(gate["fit_ndcg@10"]["numbers and texts"], abs=1e-5)


def test_what_is_measured_is_not_trained_again(measured, planted, monkeypatch):
    found, _ = measured
    monkeypatch.setattr("pipeline.front_shapes.fit_ranker", lambda *parts: pytest.fail("trained again"))
    monkeypatch.setattr(module, "time_requests", lambda *parts, **more: pytest.fail("timed again"))
    said: list[str] = []
    # Its own depth, layers, attention and limit are no part of what a point measures.
    config = build_config(planted, **SIZES, depth=7, layers=1, attention="full", max_minutes=9.0)
    again = measure_front(config, GRID, said.append)
    assert {**again, "max_minutes": 0} == {**found, "max_minutes": 0}
    assert sum(line.endswith("measured before, taken as it is") for line in said) == 4
    assert "the front itself: 0 trainings and their scores on fit, about 0.0 min, then the timing" in said


def test_a_greater_depth_is_scored_without_training(measured, planted, monkeypatch):
    monkeypatch.setattr("pipeline.front_shapes.fit_ranker", lambda *parts: pytest.fail("trained again"))
    folder = next((planted.root / "scratch" / "front").glob("full-1"))
    before = np.load(folder / "read.npy")
    found = measure_front(
        build_config(planted, **SIZES), Asked(attentions=["full"], layers=[1], depths=[12]), lambda line: None
    )
    deeper = np.load(folder / "read.npy")
    assert deeper.shape == (100, 12)
    assert np.allclose(deeper[:, :10], before, atol=1e-5)
    assert [p["depth"] for p in found["points"] if p["layers"]] == [12]


def test_other_settings_are_another_measurement(measured, planted):
    before = (planted.root / "scratch" / "front" / "key").read_text()
    keys = {
        module._key(build_config(planted, **SIZES, **more), planted)
        for more in ({}, {"width": 9}, {"epochs": 2}, {"depth": 3})
    }
    assert before in keys
    assert len(keys) == 3


def test_too_costly_points_are_refused_with_their_estimate(planted, tmp_path, monkeypatch):
    speeds = iter([Speed(100.0, 100.0, 0.1), Speed(2e4, 5e3, 0.3), Speed(300.0, 1e4, 0.2)])
    monkeypatch.setattr("pipeline.front_shapes.speed_of", lambda *parts: next(speeds))
    run = beside(planted, tmp_path)
    grid, said = Asked(attentions=["full"], layers=[1], depths=[2, 10]), []
    config = build_config(planted, **SIZES)
    config.run.folder = str(tmp_path)
    config.ranking.max_minutes = 1e-3
    with pytest.raises(InputError, match=r"every point .* more than ranking\.max_minutes=0\.001"):
        measure_front(config, grid, said.append)
    assert said[-1].count("(refused)") == 2
    assert not (tmp_path / "front.json").exists()
    # In a quieter hour the fastest speed of each kind counts. In the middle between the two estimates one is allowed.
    bench = Bench(config, RankingInputs.open(run, config), run.root / "scratch" / "front", 10)
    point_costs(bench, Shape("full", 1), (2,))
    low, high = (cost.minutes for cost in point_costs(bench, Shape("full", 1), (2, 10)).values())
    noted = json.loads((bench.folder / "full-1.speed.json").read_text())
    assert noted == {"reading": 2e4, "training": 1e4, "numbers": 0.1}
    monkeypatch.setattr("pipeline.front_shapes.speed_of", lambda *parts: Speed(1.0, 1.0, 1.0))
    config.ranking.max_minutes = (low + high) / 2
    found = measure_front(config, grid, said.append)
    assert [(p["depth"], p["minutes"]) for p in found["refused"]] == [(10, round(high, 2))]
    assert [p["depth"] for p in found["points"] if p["layers"]] == [2]
    assert "not measured: full, 1 layer, depth 10" in " ".join(front_lines(found))


def test_a_collapsed_training_is_told_and_not_compared(planted, tmp_path, monkeypatch):
    beside(planted, tmp_path)
    config = build_config(planted, **SIZES, tokens_per_batch=200)
    config.run.folder = str(tmp_path)
    true = module.measure_shape

    def collapse(bench, shape, depth):
        least = 1e6 if shape.layers == 2 else 0.0
        monkeypatch.setattr("ranking.collapse.LEAST_SPREAD", least)
        monkeypatch.setattr("ranking.collapse.PATIENCE", 2)
        return true(bench, shape, depth)

    monkeypatch.setattr(module, "measure_shape", collapse)
    found = measure_front(config, Asked(attentions=["context_once"], layers=[1, 2], depths=[10]), lambda line: None)
    assert [(one["layers"], "collapsed" in one["reason"]) for one in found["collapsed"]] == [(2, True)]
    assert [p["layers"] for p in found["points"]] == [1, 0]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (Asked(layers=[3]), r"--layers .* 3: the encoder has 2"),
        (Asked(depths=[20]), r"--depths .* 20: lists have retrieval\.candidates=12"),
        (Asked(), r"no default of --depths"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_work(planted, asked, error):
    config = build_config(planted, **SIZES)
    config.retrieval.candidates = 12 if asked.depths or asked.layers else 5
    with pytest.raises(InputError, match=error):
        read_grid(asked, config, planted.root / "encoder")


def test_defaults_are_cut_to_what_there_is_and_it_is_said(planted):
    config = build_config(planted, **SIZES, tuning="frozen_lower", layers=2)
    grid, said = read_grid(Asked(), config, planted.root / "encoder")
    assert (grid.layers, grid.depths) == ((2,), (10,))
    assert "left out of --layers: 1: ranking.frozen_layers=1 are frozen" in said
    assert "left out of --depths: 50: lists have retrieval.candidates=12" in said


@pytest.mark.parametrize(
    "flags", [("half", None, None), (None, "1,x", None), (None, None, "0"), ("full,full", None, None)]
)
def test_flags_that_are_not_understood_are_named(flags):
    with pytest.raises(InputError, match="is not understood"):
        Asked.parse(*flags)


def test_flags_are_read_in_order():
    assert Asked.parse("full, context_once", "3,1", None) == Asked(["context_once", "full"], [1, 3], None)


def test_a_front_of_other_files_is_marked_as_such(measured, planted, tmp_path):
    run = beside(planted, tmp_path)
    (tmp_path / "front.json").write_text(json.dumps(measured[0]))
    assert FRONT_FILE.read(run)[1]
    assert read_ranker_choice(run).current
    (tmp_path / "front.json").write_text(json.dumps({**measured[0], "inputs": {}}))
    assert not read_ranker_choice(run).current
    (tmp_path / "front.json").write_text(json.dumps({**measured[0], "format": 0}))
    with pytest.raises(InputError, match="has format 0"):
        FRONT_FILE.read(run)
    (tmp_path / "front.json").unlink()
    assert read_ranker_choice(run) is None


def test_the_settings_to_write_are_printed(measured):
    found, _ = measured
    settings = " ".join(f"ranking.{name}={value}" for name, value in found["choice"].items())
    lines = "\n".join(front_lines(found))
    assert f"Chosen: {settings}." in lines
    assert "rises by" in findings(found)[1]


def test_an_order_that_nothing_improves_on_is_left_as_it_is(measured):
    found = json.loads(json.dumps(measured[0]))
    found["choice"], found["gate"] = None, None
    assert findings(found)[0].startswith("No reranker is chosen: the blended order is not below the best")


def test_the_front_is_drawn_with_the_choice_ringed_and_every_number_in_the_table(measured, planted):
    (planted.root / "front.json").write_text(json.dumps(measured[0]))
    figure = read_ranker_choice(planted).figure
    plot = json.loads(str(figure.plot))
    names = [trace["name"] for trace in plot["data"]]
    assert names == [f"{a}, {n}" for a in ("context_once", "full") for n in ("1 layer", "2 layers")] + ["chosen"]
    assert [trace["text"] for trace in plot["data"][:4]] == [["2", "10"]] * 4
    chosen = next(p for p in measured[0]["points"] if p["chosen"])
    assert plot["data"][4]["x"] == [chosen["processor_ms"]]
    assert len(figure.table.rows) == 9
    assert [row[:3] for row in figure.table.rows if row[-1].startswith("chosen")] == [
        [chosen["attention"], str(chosen["layers"]), str(chosen["depth"])]
    ]


def test_a_measured_front_makes_evaluate_draw_the_report_anew(planted, tmp_path):
    run = beside(planted, tmp_path)
    for name in ("ingest", "train-towers", "index", "train-ranker", "rank"):
        seal(run, name, lambda folder: None)
    evaluate = next(stage for stage in STAGES if stage.name == "evaluate")
    config = build_config(planted)
    before = stage_key(evaluate, config, run)
    (tmp_path / "front.json").write_text("{}")
    assert stage_key(evaluate, config, run) != before
