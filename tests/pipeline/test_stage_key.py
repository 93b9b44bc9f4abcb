from pathlib import Path

import pytest

from configs.load import load_config
from pipeline.run_folder import RunFolder
from pipeline.stage import STAGES, Stage
from pipeline.stage_key import settings_of, stage_key


@pytest.fixture
def config(tmp_path):
    (tmp_path / "shop.yaml").write_text("data:\n  reader: bazaar\n")
    return load_config(tmp_path / "shop.yaml", [f"run.folder={tmp_path / 'run'}"])


def test_where_a_training_runs_is_no_part_of_what_it_is(config):
    towers = Stage("train-towers", ("towers",), ())
    run = RunFolder(Path(config.run.folder))
    before = stage_key(towers, config, run)
    config.towers.devices, config.towers.strategy = 4, "ddp"
    assert stage_key(towers, config, run) == before
    config.towers.batch_users += 1
    assert stage_key(towers, config, run) != before


def test_what_a_reranker_may_cost_is_no_part_of_what_it_is(config):
    ranker = Stage("train-ranker", ("ranking",), ())
    run = RunFolder(Path(config.run.folder))
    before = stage_key(ranker, config, run)
    config.ranking.max_minutes *= 2
    assert stage_key(ranker, config, run) == before
    config.ranking.layers += 1
    assert stage_key(ranker, config, run) != before


def test_every_stage_names_settings_and_stages_that_exist(config):
    names: list[str] = []
    for stage in STAGES:
        assert set(stage.after) <= set(names)
        assert settings_of(stage, config)
        names.append(stage.name)
