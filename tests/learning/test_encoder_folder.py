import json

import pytest

from configs.schema import TextConfig
from learning.encoder_folder import EncoderError, find_encoder, open_encoder


def _model(folder, **files):
    """A folder that looks like a model; ``files`` are JSON by path, ``__`` for a slash."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 8}))
    for name, content in files.items():
        file = folder / f"{name.replace('__', '/')}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(content))
    return folder


def test_a_folder_that_declares_nothing_is_pooled_by_mean_without_prefixes(tmp_path):
    opened = open_encoder(TextConfig(encoder=str(_model(tmp_path / "m"))))
    assert (opened.pooling, opened.item_prefix, opened.query_prefix) == ("mean", "", "")


@pytest.mark.parametrize(
    ("declared", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "mean"}, "mean"),
    ],
)
def test_pooling_is_read_from_the_folder(tmp_path, declared, pooling):
    folder = _model(tmp_path / "m", **{"1_Pooling__config": declared})
    assert open_encoder(TextConfig(encoder=str(folder))).pooling == pooling


def test_prefixes_are_read_from_the_folder_and_settings_go_first(tmp_path):
    prompts = {"prompts": {"query": "query: ", "document": "passage: "}}
    folder = str(_model(tmp_path / "m", config_sentence_transformers=prompts))
    read = open_encoder(TextConfig(encoder=folder))
    assert (read.query_prefix, read.item_prefix) == ("query: ", "passage: ")
    told = open_encoder(TextConfig(encoder=folder, pooling="cls", query_prefix="", item_prefix="item: "))
    assert (told.pooling, told.query_prefix, told.item_prefix) == ("cls", "", "item: ")


def test_a_model_inside_an_installed_package_is_found_without_importing_it(tmp_path, monkeypatch):
    package = tmp_path / "shop_model_in_a_wheel"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    model = _model(package / "weights")
    _model(package / "weights" / "1_Pooling")  # a config without a model type is no model
    (package / "weights" / "1_Pooling" / "config.json").write_text("{}")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_encoder("package:shop_model_in_a_wheel") == model
    assert find_encoder("package:shop_model_in_a_wheel/weights") == model


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("/nowhere/model", "there is no folder /nowhere/model; give a folder"),
        ("./model", "there is no folder model; give a folder"),
        ("package:not_installed_here", "no package not_installed_here is installed; pip install"),
        ("train", "run `mercato prepare CONFIG` first"),
    ],
)
def test_an_encoder_that_is_not_there_is_one_sentence(name, sentence):
    with pytest.raises(EncoderError, match=r"text\.encoder") as raised:
        find_encoder(name)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_layer_that_would_be_left_out_is_refused(tmp_path):
    modules = [{"type": "sentence_transformers.models.Transformer"}, {"type": "sentence_transformers.models.Dense"}]
    with pytest.raises(EncoderError, match="adds Dense after pooling"):
        open_encoder(TextConfig(encoder=str(_model(tmp_path / "m", modules=modules))))


def test_two_kinds_of_pooling_at_once_are_refused(tmp_path):
    declared = {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}
    with pytest.raises(EncoderError, match="declares the pooling mean, pooling_mode_max_tokens"):
        open_encoder(TextConfig(encoder=str(_model(tmp_path / "m", **{"1_Pooling__config": declared}))))


def test_the_fingerprint_moves_with_files_pooling_and_token_limit(tmp_path):
    folder = _model(tmp_path / "m")
    prints = {open_encoder(TextConfig(encoder=str(folder))).fingerprint()}
    prints.add(open_encoder(TextConfig(encoder=str(folder), pooling="cls")).fingerprint())
    prints.add(open_encoder(TextConfig(encoder=str(folder), max_tokens=8)).fingerprint())
    (folder / "config.json").write_text("{}")
    prints.add(open_encoder(TextConfig(encoder=str(folder))).fingerprint())
    assert len(prints) == 4
