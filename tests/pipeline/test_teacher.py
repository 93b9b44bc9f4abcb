"""Who may teach: a run whose gate opened, of the same shop, with the same towers, all of a piece."""

import json
from dataclasses import replace

import pytest

from configs.errors import InputError
from configs.schema import Config
from pipeline.run_folder import RunFolder
from pipeline.stage import STAGES, TEACHING
from pipeline.stage_key import outputs_digest, settings_of, stage_key
from pipeline.teacher import open_teacher

OPEN = {"shipped": True, "weight": 0.4, "reason": "it rises", "new_items": None}
CLOSED = {"shipped": False, "weight": 0.0, "reason": "chance may explain it", "new_items": None}


def _seal(run, config, names, gate=OPEN, content="same"):
    for stage in STAGES:
        if stage.name in names:
            folder = run.open_temporary(stage.name)
            (folder / "file").write_text(f"{stage.name}: {content}")
            if stage.name == "train-ranker":
                (folder / "gate.json").write_text(json.dumps(gate))
            inputs = {name: outputs_digest(run, name) for name in stage.after if run.manifest(name)}
            manifest = {"stage": stage.name, "key": "", "settings": settings_of(stage, config), "inputs": inputs}
            run.commit(stage.name, folder, manifest)


@pytest.fixture
def config(tmp_path):
    """A run whose teacher is finished, and whose own data are ready."""
    made = Config()
    made.run.name, made.run.folder, made.tracking.experiment = "made-up", str(tmp_path / "taught"), "made-up"
    _seal(RunFolder(tmp_path / "teacher"), made, ("ingest", "prepare", "adapt", *TEACHING))
    _seal(RunFolder(tmp_path / "taught"), made, ("ingest", "prepare", "adapt"))
    made.towers.teacher = str(tmp_path / "teacher")
    return made


def _again(config, names, **changes):
    teacher = replace(config, towers=replace(config.towers, teacher=""))
    _seal(RunFolder(_root(config)), teacher, names, **changes)


def _root(config):
    from pathlib import Path

    return Path(config.towers.teacher)


def test_an_open_gate_may_teach_with_the_settings_it_was_opened_under(config):
    config.ranking.depth, config.towers.teaching, config.towers.round_rate = 7, 0.3, 0.5
    teacher = open_teacher(config)
    assert teacher.weight == 0.4
    assert teacher.config.ranking.depth == 20
    assert not teacher.filter_seen


@pytest.mark.parametrize("reason", ["chance may explain it", "ranking.enabled is false"])
def test_a_closed_gate_may_not(config, reason):
    _again(config, ("train-ranker",), gate={**CLOSED, "reason": reason})
    with pytest.raises(
        InputError, match=rf"no reranker that may teach: the gate of its main order is closed \({reason}"
    ):
        open_teacher(config)


def test_towers_that_look_for_new_items_ask_the_gate_of_new_items(config):
    config.towers.repeats = 0
    _again(config, TEACHING, gate={**CLOSED, "new_items": OPEN})
    assert open_teacher(config).filter_seen
    _again(config, ("train-ranker",), gate={**OPEN, "new_items": CLOSED})
    with pytest.raises(InputError, match="gate of its new_items order is closed"):
        open_teacher(config)


def test_a_run_does_not_teach_itself(config):
    config.run.folder = config.towers.teacher
    with pytest.raises(InputError, match="is the run's own folder"):
        open_teacher(config)


def test_an_unfinished_run_does_not_teach(config, tmp_path):
    config.towers.teacher = str(tmp_path / "nowhere")
    with pytest.raises(InputError, match="train-towers is not there; run `mercato train-towers CONFIG`"):
        open_teacher(config)


def test_a_teacher_of_other_data_is_refused(config):
    _again(config, ("prepare",), content="another log")
    _again(config, TEACHING)
    with pytest.raises(InputError, match="has other data than this run: the outputs of prepare differ"):
        open_teacher(config)


def test_a_teacher_with_other_towers_is_refused_by_name(config):
    config.towers.dim = 64
    with pytest.raises(InputError, match=r"has other towers .*: towers\.dim=256 there and 64 here; set them alike"):
        open_teacher(config)


def test_a_teacher_that_was_half_run_again_is_refused(config):
    _again(config, ("embed",), content="newer towers")
    with pytest.raises(InputError, match="index was run before embed last changed; run `mercato run CONFIG`"):
        open_teacher(config)


def test_the_key_of_taught_towers_follows_the_teacher(config):
    stage, run = next(one for one in STAGES if one.name == "train-towers"), RunFolder(_root(config).parent / "taught")
    before = stage_key(stage, config, run)
    assert stage_key(stage, config, run) == before
    _again(config, ("train-ranker",), content="trained anew")
    assert stage_key(stage, config, run) != before
