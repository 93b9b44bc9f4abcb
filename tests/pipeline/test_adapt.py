import json
import shutil

import numpy as np
import pytest

from commerce.histories import Histories
from learning.language_model import load_text_encoder
from pipeline.api import Run
from pipeline.encoders import named_encoder, prepared_encoder, towers_encoder
from pipeline.ranking_inputs import encoder_path
from pipeline.run_folder import RunFolder
from pipeline.shop_texts import ShopTexts

SHORT = ("text.adapt_steps=12", "text.adapt_learning_rate=0.003", "text.adapt_tokens_per_batch=1024")


@pytest.fixture(scope="module")
def adapted(tiny_run, tmp_path_factory):
    """A run of the tiny bazaar up to the towers, whose encoder is adapted first and has adapters then."""
    run, _ = tiny_run
    folder = tmp_path_factory.mktemp("adapted")
    for stage in ("ingest", "prepare"):
        shutil.copytree(run.folder / stage, folder / "run" / stage)
    kept = [word for word in run.overrides if not word.startswith(("run.folder", "towers.max_epochs"))]
    tuning = ("towers.tuning=lora", "towers.text_dropout=0.2", "towers.gradient_checkpointing=true")
    small = ("towers.max_epochs=1", "towers.tuned_texts=16", "towers.batch_users=200", "towers.history_length=10")
    again = Run("configs/bazaar.yaml", *kept, f"run.folder={folder / 'run'}", *SHORT, *tuning, *small)
    said: list[str] = []
    again.run("adapt", "train-towers", say=said.append)
    return again, said


def test_a_stage_that_is_off_leaves_the_encoder_that_was_named(tiny_run):
    run, said = tiny_run
    assert "text.adapt_steps is 0: texts are read by the encoder as it is" in said
    assert json.loads((run.folder / "adapt" / "summary.json").read_text()) == {"steps": 0}
    folder = RunFolder(run.folder)
    assert prepared_encoder(folder, run.config.text) == named_encoder(folder, run.config.text)


def test_adapting_says_and_writes_the_loss_before_and_after(adapted):
    run, said = adapted
    summary = json.loads((run.folder / "adapt" / "summary.json").read_text())
    assert summary["steps"] == 12
    assert summary["loss_after"] < summary["loss_before"]
    assert f"{summary['loss_before']:.3f} (by a head made anew) -> {summary['loss_after']:.3f} nats" in said[0]


def test_later_stages_read_what_the_stage_before_them_made(adapted):
    run, _ = adapted
    folder, text = RunFolder(run.folder), run.config.text
    named, prepared, towers = (of(folder, text) for of in (named_encoder, prepared_encoder, towers_encoder))
    assert len({named.fingerprint(), prepared.fingerprint(), towers.fingerprint()}) == 3
    assert prepared.path == encoder_path(folder, run.config) == run.folder / "adapt" / "encoder"
    assert (named.pooling, named.max_tokens) == (towers.pooling, towers.max_tokens)


def test_adapters_are_merged_into_a_plain_encoder(adapted):
    run, _ = adapted
    folder = RunFolder(run.folder)
    start, end = (
        dict(load_text_encoder(of(folder, run.config.text)).named_parameters())
        for of in (prepared_encoder, towers_encoder)
    )
    assert not list((run.folder / "train-towers" / "encoder").glob("adapter*"))
    changed = {name.split(".")[-2] for name in start if not start[name].equal(end[name])}
    assert start.keys() == end.keys()
    assert changed == {"query", "value"}


def test_a_changed_setting_adapts_anew_and_an_unchanged_one_does_not(adapted):
    run, _ = adapted
    said: list[str] = []
    run.run("adapt", say=said.append)
    assert said == ["adapt: unchanged, skipped"]
    words = [word for word in run.overrides if not word.startswith("text.adapt_steps")]
    Run("configs/bazaar.yaml", *words, "text.adapt_steps=1").run("adapt", say=said.append)
    assert "in 1 steps" in said[1]


def test_only_what_was_known_before_the_ranker_window_is_read():
    # User 0 searches "light" before the cut and "sport" after it; user 1, whose cut comes later, "warm" before it.
    histories = Histories(
        offsets=np.array([0, 2, 3]),
        item=np.array([-1, -1, -1], dtype=np.int32),
        action=np.zeros(3, dtype=np.uint8),
        time=np.array([1, 9, 5]),
        query=np.array([0, 1, 2], dtype=np.int32),
        session=np.zeros(3, dtype=np.int64),
    )
    texts, cuts = ShopTexts(["lamp", "mat", "shoes"], ["light", "sport", "warm"]), np.array([1, 3])
    available = np.array([0, 7, 8])
    assert texts.known_before(histories, cuts, available, 8) == (["lamp", "mat"], ["light", "warm"])
    assert texts.known_before(histories, cuts, available, None) == (["lamp", "mat", "shoes"], ["light", "warm"])
