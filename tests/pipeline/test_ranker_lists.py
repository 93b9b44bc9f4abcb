"""Lists to train on: written once for a work, whole or again, as the arrays in memory would be."""

import numpy as np
import pytest

from pipeline.ranker_lists import write_training
from pipeline.ranking_inputs import RankingInputs
from tests.pipeline.test_train_ranker import USERS, build_config, build_run


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    run = build_run(tmp_path_factory.mktemp("lists"), lambda affinity, draw: affinity[:, :10].argmax(axis=1))
    config = build_config(run, train_requests=50)
    return RankingInputs.open(run, config), config


def test_a_list_holds_what_its_request_is_told_of_its_candidates(opened, tmp_path):
    inputs, config = opened
    training = write_training(inputs, config, tmp_path)
    assert len(training) == len(training.examples) == len(training.gains) == 50
    assert training.counted.startswith(f"ranker window: {USERS} requests, 50 trained on")
    examples, asked = training.examples, inputs.requests.of("ranker")
    assert (training.gains.sum(axis=1) == 1).all()
    assert np.isin(examples.items[training.gains > 0], asked.items).all()
    scores = examples.features[..., inputs.features.index("blend_score")]
    assert (np.diff(scores, axis=1) < 0).all()  # in blended order, each with its own score


def test_what_a_cut_off_left_is_written_again_and_what_is_whole_is_not(opened, tmp_path, monkeypatch):
    inputs, config = opened
    whole = write_training(inputs, config, tmp_path / "whole")
    before = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}

    def cut(self, name, request_id, depth):
        blocks = true(self, name, request_id, depth)
        if len(request_id) == 50:  # the second time through the file
            raise KeyboardInterrupt
        yield from blocks

    true = RankingInputs.stream
    with monkeypatch.context() as patch:
        patch.setattr(RankingInputs, "stream", cut)
        with pytest.raises(KeyboardInterrupt):
            write_training(inputs, config, tmp_path / "cut")
    again = write_training(inputs, config, tmp_path / "cut")
    assert {path.name: path.read_bytes() for path in (tmp_path / "cut").iterdir()} == before
    assert again.counted == whole.counted
    monkeypatch.setattr(RankingInputs, "stream", lambda *parts: pytest.fail("streamed again"))
    assert np.array_equal(write_training(inputs, config, tmp_path / "cut").gains, whole.gains)


def test_blocks_change_nothing(opened, tmp_path, monkeypatch):
    inputs, config = opened
    write_training(inputs, config, tmp_path / "whole")
    monkeypatch.setattr("ranking.lists._ROWS", 100)
    write_training(inputs, config, tmp_path / "blocks")
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "blocks" / path.name).read_bytes(), path.name
