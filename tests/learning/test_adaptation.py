import itertools
import json
import shutil
from dataclasses import replace

import lightning as L
import pytest
import torch

import learning.adaptation
from configs.errors import InputError
from learning.adaptation import adapt_encoder
from learning.encoder_folder import open_encoder

# Each title's last word follows from its first: what a model learns by guessing.
HABITS = {"red": "lamp", "white": "shoes", "blue": "mat", "green": "desk"}
TEXTS = [
    f"{first} {' '.join(middle)} {last}"
    for first, last in HABITS.items()
    for middle in itertools.permutations(("umbrio", "lumora", "running", "积木", "玩具"), 3)
]


@pytest.fixture
def asked(shop_encoder):
    folder, _, text = shop_encoder
    return open_encoder(text, folder), replace(text, adapt_steps=60, adapt_tokens_per_batch=1024)


def test_adapting_lowers_the_loss_on_texts_held_back(asked, tmp_path):
    folder, text = asked
    text.adapt_learning_rate, text.adapt_steps = 3e-3, 120
    adapted = adapt_encoder(folder, [*TEXTS, "", *TEXTS], text, 0, tmp_path)
    assert (adapted.texts, adapted.held_out) == (228, 12)  # each distinct text once, a twentieth held back
    assert adapted.new_head
    assert adapted.after < 1.5 < adapted.before  # by the frequencies of tokens alone: their entropy, 2.62
    assert not adapted.encoder.training


class _Stop(L.Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 7:
            raise KeyError("killed")


def test_an_adaptation_cut_off_and_resumed_is_bit_identical(asked, tmp_path, monkeypatch):
    folder, text = asked
    shutil.copytree(folder.path, tmp_path / "with_dropout")
    shape = json.loads((folder.path / "config.json").read_text())
    (tmp_path / "with_dropout" / "config.json").write_text(json.dumps({**shape, "hidden_dropout_prob": 0.3}))
    folder = replace(folder, path=tmp_path / "with_dropout")
    text.adapt_steps = 9
    monkeypatch.setattr(learning.adaptation, "_CHECKPOINT_STEPS", 5)
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = adapt_encoder(folder, TEXTS, text, 3, tmp_path / "whole")
    real = L.Trainer
    monkeypatch.setattr(L, "Trainer", lambda callbacks, **kw: real(callbacks=[*callbacks, _Stop()], **kw))
    with pytest.raises(KeyError, match="killed"):
        adapt_encoder(folder, TEXTS, text, 3, tmp_path / "cut")
    monkeypatch.setattr(L, "Trainer", real)
    torch.manual_seed(77)  # a new process starts with another state of chance
    resumed = adapt_encoder(folder, TEXTS, text, 3, tmp_path / "cut")
    assert (resumed.before, resumed.after) == (whole.before, whole.after)
    for (name, one), two in zip(whole.encoder.state_dict().items(), resumed.encoder.state_dict().values(), strict=True):
        assert torch.equal(one, two), name


def test_too_few_texts_are_told_so(asked, tmp_path):
    folder, text = asked
    with pytest.raises(InputError, match="only 1 distinct texts came where at least 20 are needed"):
        adapt_encoder(folder, ["lamp", "", "lamp"], text, 0, tmp_path)
